//! The pod of the README: Debian's nginx, built by rootfs/build, imported, run, and asked for its page.

use std::path::Path;
use std::process::Command;

use crate::world::{http_get, world};

#[test]
fn nginx_answers_with_its_welcome_page() {
    world(|world| {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Command::new(checkout.join("rootfs/build")).arg("nginx").output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        world.import(&checkout.join("rootfs/out/nginx"), "nginx:1.14");

        let mut command = world.mkubelet();
        command.arg("run").arg(checkout.join("examples/pod-nginx.yaml"));
        let run = world.start(command);
        run.expect("pod default/nginx: Running");
        let (status, page) = http_get(run.ip("nginx"), 80, "/");
        assert!(status.ends_with("200 OK"), "{status}");
        assert!(page.contains("<title>Welcome to nginx!</title>"), "{page}");
        run.stop().printed("pod default/nginx: deleted");
    });
}
