//! `kubectl exec -it`: a shell in a container, and what it does there to its first process.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::each;
use crate::world::{Container, Pod, Terminal, http_get, patient};

/// Where rootfs/build has left the example images.
const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/out");

#[test]
fn whoever_kills_the_first_process_from_a_shell_sees_137_and_the_page_back_at_its_address() {
    each(|session| {
        // nginx with a shell, which Debian's package has not.
        let image = session.path("nginx");
        fs::create_dir_all(&image).unwrap();
        let from = format!("{IMAGES}/nginx/rootfs/.");
        let copied = Command::new("cp").args(["--archive", &from]).arg(&image).status().unwrap();
        assert!(copied.success(), "`make rootfs` makes {IMAGES}/nginx");
        session.add_busybox(&image);
        let container = Container::new("nginx", &format!("dir:{}", image.display()))
            .command(&["nginx", "-g", "daemon off;"])
            .with("ports", json!([{"containerPort": 80}]));
        session.run_pod(&Pod::new("web", [container]));
        let ip = session.ip("web");
        assert!(http_get(ip, 80, "/").1.contains("Welcome to nginx!"));

        let mut shell = Terminal::start(&session.command(&["exec", "-it", "web", "--", "/bin/sh"]));
        shell.expect("/ # ");
        shell.enter("echo $((6 * 7)); stty size; echo $TERM");
        shell.expect("42\r\n40 132\r\nxterm\r\n");
        shell.enter("kill 1");
        let killed = Instant::now();
        shell.expect("command terminated with exit code 137");
        // The shell died with the first process, and so with all of the container.
        assert_eq!(shell.end(), 137);

        assert!(http_get(ip, 80, "/").1.contains("Welcome to nginx!"));
        assert!(killed.elapsed() < patient(Duration::from_secs(5)), "{:?}", killed.elapsed());
        let ready = "wait --for=condition=Ready pod/web --timeout=60s";
        assert_eq!(session.kubectl(ready).fine(), "pod/web condition met\n");
        let row = session.row("pod web -o wide");
        assert_eq!(row[..4], ["web", "1/1", "Running", "1"]);
        assert!(row.contains(&ip.to_string()), "{row:?}");
        // SIGTERM ends nginx as it likes.
        let last = &session.object("pod web")["status"]["containerStatuses"][0]["lastState"]["terminated"];
        assert_eq!((&last["exitCode"], &last["reason"]), (&json!(0), &json!("Completed")));
    });
}

#[test]
fn a_shell_ends_with_the_code_of_its_last_command_and_leaves_the_container_alone() {
    each(|session| {
        session.run_pod(&session.pod("calm", &["term=0", "wait"]));
        let mut shell = Terminal::start(&session.command(&["exec", "-it", "calm", "--", "/bin/sh"]));
        shell.expect("/ # ");
        shell.enter("echo ready; cat >/tmp/typed");
        shell.expect("\r\nready\r\n");
        shell.enter("some words");
        // End of file (Ctrl-D).
        shell.press("\x04");
        shell.expect("/ # ");
        shell.enter("exit 7");
        shell.expect("command terminated with exit code 7");
        assert_eq!(shell.end(), 7);
        assert_eq!(session.kubectl("exec calm -- cat /tmp/typed").fine(), "some words\n");
        assert_eq!(session.row("pod calm")[..4], ["calm", "1/1", "Running", "0"]);
        assert_eq!(session.world.ledger().starts("calm"), 1);
    });
}
