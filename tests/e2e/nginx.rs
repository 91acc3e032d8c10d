//! The pod of the README: Debian's nginx, built by rootfs/build, imported, run, and asked for its page.

use crate::world::{example, http_get, world};

#[test]
fn nginx_answers_with_its_welcome_page() {
    world(|world| {
        world.build("nginx", "nginx:1.14");
        let run = world.run_manifest(&example("pod-nginx.yaml"));
        run.expect("pod default/nginx: Running");
        let (status, page) = http_get(run.ip("nginx"), 80, "/");
        assert!(status.ends_with("200 OK"), "{status}");
        assert!(page.contains("<title>Welcome to nginx!</title>"), "{page}");
        run.stop().printed("pod default/nginx: deleted");
    });
}
