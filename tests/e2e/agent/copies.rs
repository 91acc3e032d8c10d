//! Copies and sessions whose agent goes.

use std::fs;
use std::process::Command;

use crate::kubectl::said::Said;
use crate::world::{Container, until, world};

/// Bytes of the file: as many as take a while to copy.
const SIZE: &str = "100000000";

#[test]
fn a_copy_that_is_cut_goes_on_where_it_was() {
    world(|world| {
        world.build("busybox", "busybox");
        let script = format!("head -c {SIZE} /dev/urandom >/file; echo written; exec sleep 1000");
        let container = Container::new("web", "busybox").command(&["sh", "-c", &script]);
        world.manifests().put(&world.pod("web", [container]).grace(0));
        let agent = world.agent();
        agent.expect("container default/web/web: Running");
        let written = || world.output(&["logs", "web"]).stdout.starts_with(b"written");
        until("the file", || written().then_some(()));

        let target = world.path("copy");
        let mut copy: Command = world.mkubelet();
        copy.args(["cp", "--retries=20", "web:/file"]).arg(&target);
        let copy = world.start(copy);
        let copied = || fs::metadata(&target).is_ok_and(|file| file.len() > 1 << 20);
        until("a part of the copy", || copied().then_some(()));
        agent.kill();
        let agent = world.agent();
        copy.expect_prefix("Resuming copy at ");
        copy.wait().success();

        let theirs = Said::of(world.output(&["exec", "web", "--", "sha256sum", "/file"])).fine();
        let ours = Command::new("sha256sum").arg(&target).output().unwrap();
        assert_eq!(theirs.split(' ').next(), String::from_utf8(ours.stdout).unwrap().split(' ').next());
        agent.clear(world);
    });
}

#[test]
fn whoever_is_in_a_container_hears_that_the_agent_is_gone() {
    world(|world| {
        world.build("busybox", "busybox");
        let container =
            Container::new("web", "busybox").command(&["sh", "-c", "echo written; exec sleep 1000"]);
        world.manifests().put(&world.pod("web", [container]).grace(0));
        let agent = world.agent();
        agent.expect("container default/web/web: Running");
        let mut session: Command = world.mkubelet();
        session.args(["exec", "web", "--", "sh", "-c", "echo inside; sleep 1000"]);
        let session = world.start(session);
        session.expect("inside");
        let follower = |words: &[&str]| {
            let mut follower: Command = world.mkubelet();
            follower.args(words);
            world.start(follower)
        };
        let log = follower(&["logs", "-f", "web"]);
        log.expect("written");
        let watch = follower(&["get", "pods", "-w", "-o", "name"]);
        watch.expect("pod/web");
        agent.kill();
        assert!(log.wait().code(1).transcript().ends_with("error: unexpected EOF"));
        watch.wait().success();
        let said = session.wait().code(1).transcript();
        assert!(said.ends_with("error: the connection was lost before the command had ended"), "{said}");
        world.agent().clear(world);
    });
}

#[test]
fn what_is_refused_is_not_tried_again() {
    world(|world| {
        let agent = world.agent();
        until("the API", || world.run_dir().join("api.sock").exists().then_some(()));
        let said = Said::of(world.output(&["cp", "--retries=20", "nobody:/file", "/tmp/none"]));
        assert_eq!(said.refused(), "Error from server (NotFound): pods \"nobody\" not found\n");
        agent.clear(world);
    });
}
