//! exec, attach, logs, cp and port-forward.

use std::fs;
use std::net::Ipv4Addr;

use serde_json::json;

use super::each;
use crate::world::{http_get, until};

#[test]
fn a_command_has_its_streams_and_its_exit_code() {
    each(|session| {
        let containers =
            [session.container("a", &["term=0", "wait"]), session.container("b", &["term=0", "wait"])];
        session.run_pod(&session.world.pod("web", containers));
        let exec = |words: &[&str], input: &str| {
            session.kubectl_with(&[&["exec", "-i", "web"], words].concat(), input)
        };

        let said = exec(&["-c", "b", "--", "sh", "-c", "echo out; echo err >&2; exit 3"], "");
        assert_eq!((said.code, &*said.out), (3, "out\n"));
        assert_eq!(said.err, "err\ncommand terminated with exit code 3\n");
        let said = exec(&["-c", "a", "--", "cat"], "one\ntwo\n");
        assert_eq!(said.fine(), "one\ntwo\n");
        // Much more than any buffer, there and back.
        let much: String = (0..40_000).map(|number| format!("line {number} of many\n")).collect();
        assert!(exec(&["-c", "a", "--", "cat"], &much).fine() == much);
        let killed = exec(&["-c", "a", "--", "sh", "-c", "kill -9 $$"], "");
        assert_eq!((killed.code, &*killed.err), (137, "command terminated with exit code 137\n"));

        // Without -c it is the first container's, and kubectl says so.
        let said = session.kubectl("exec web -- cat /proc/1/cmdline");
        assert!(said.out.starts_with("/bin/ledger\0a\0"), "{}", said.out);
        assert!(said.err.starts_with("Default"), "{}", said.err);
        let refused = exec(&["-c", "c", "--", "true"], "").refused();
        assert!(refused.contains("container c is not valid for pod web"), "{refused}");
        let refused = exec(&["-c", "a", "--", "no-such-program"], "").refused();
        assert!(refused.contains("no-such-program") && refused.contains("not found"), "{refused}");
        assert_eq!(
            session.kubectl("exec nobody -- true").refused(),
            "Error from server (NotFound): pods \"nobody\" not found\n"
        );
    });
}

#[test]
fn a_pod_that_is_over_executes_nothing_and_shows_its_last_words() {
    each(|session| {
        let pod = session.pod("job", &["print=the result", "exit=3"]).restart_policy("Never");
        session.create(&pod);
        until("the end", || (session.row("pod job")[2] == "Error").then_some(()));
        assert_eq!(session.kubectl("logs job").fine(), "the result\n");
        let refused = session.kubectl("exec job -- true").refused();
        assert_eq!(
            refused,
            "error: cannot exec into a container in a completed pod; current phase is Failed\n"
        );
        let code = "get pod job -o jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
        assert_eq!(session.kubectl(code).fine(), "3");
    });
}

#[test]
fn whoever_attaches_talks_to_the_first_process() {
    each(|session| {
        let listener = session
            .container("ear", &["wait"])
            .command(&["/bin/sh", "-c", "while read line; do echo heard $line; done; sleep 1000"])
            .with("stdin", json!(true));
        session.run_pod(&session.world.pod("web", [listener]).grace(1));
        let said = session.kubectl_with(&["attach", "-i", "web"], "one\ntwo\n");
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        until("both lines in the log", || {
            (session.kubectl("logs web").fine() == "heard one\nheard two\n").then_some(())
        });
        let refused = session.kubectl("attach nobody").refused();
        assert_eq!(refused, "Error from server (NotFound): pods \"nobody\" not found\n");
    });
}

#[test]
fn a_pod_that_is_run_for_a_moment_shows_what_it_says_and_goes() {
    each(|session| {
        session.world.build("busybox", "busybox");
        let words = ["run", "moment", "--rm", "-i", "--restart=Never", "--image=busybox", "--", "cat"];
        let said = session.kubectl_with(&words, "typed\n");
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        assert!(said.out.starts_with("typed\n"), "{}", said.out);
        assert!(said.out.contains("pod \"moment\" deleted"), "{}", said.out);
        let refused = session.kubectl("get pod moment").refused();
        assert_eq!(refused, "Error from server (NotFound): pods \"moment\" not found\n");
    });
}

#[test]
fn logs_are_followed_cut_and_of_the_attempt_that_is_asked_for() {
    each(|session| {
        let talker = session.container("talker", &["print=one", "print=two", "until=/ledger/end", "exit=1"]);
        let other = session.container("other", &["print=else", "term=0", "wait"]);
        session.run_pod(&session.world.pod("web", [talker, other]));
        let logs = |words: &str| session.kubectl(&format!("logs web {words}")).fine();
        until("both lines", || (logs("-c talker") == "one\ntwo\n").then_some(()));
        until("the other's", || (logs("-c other") == "else\n").then_some(()));
        assert_eq!(logs("-c talker --tail=1"), "two\n");
        assert_eq!(logs("-c talker --since=1h"), "one\ntwo\n");
        assert_eq!(logs("-c talker --limit-bytes=3"), "one");
        // Which of the containers comes first kubectl leaves to chance.
        let one_of = |found: String, of: [&str; 2]| assert!(of.contains(&found.as_str()), "{found}");
        one_of(logs("--all-containers"), ["one\ntwo\nelse\n", "else\none\ntwo\n"]);
        let [talker, other] = ["[pod/web/talker] two\n", "[pod/web/other] else\n"];
        one_of(
            logs("--all-containers --prefix --tail=1"),
            [&format!("{talker}{other}"), &format!("{other}{talker}")],
        );
        let stamped = logs("-c talker --timestamps --tail=1");
        let (stamp, line) = stamped.split_once(' ').unwrap();
        assert!(stamp.parse::<jiff::Timestamp>().is_ok() && line == "two\n", "{stamped}");
        let none = "previous terminated container \"talker\" in pod \"web\" not found";
        assert_eq!(
            session.kubectl("logs web -c talker -p").refused(),
            format!("Error from server (BadRequest): {none}\n")
        );

        let followed = session.start("logs -f web -c talker");
        followed.expect("two");
        session.world.touch("end");
        assert_eq!(followed.wait().success().stdout, ["one", "two"]);
        until("the second attempt", || (session.world.ledger().starts("talker") >= 2).then_some(()));
        assert_eq!(logs("-c talker -p"), "one\ntwo\n");

        let refused = session.kubectl("logs web -c third").refused();
        assert_eq!(refused, "error: container third is not valid for pod web\n");
        let refused = session.kubectl("logs nobody").refused();
        assert!(refused.contains("(NotFound): pods \"nobody\" not found"), "{refused}");
    });
}

#[test]
fn files_are_copied_both_ways() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let tree = session.path("tree");
        fs::create_dir_all(tree.join("below")).unwrap();
        fs::write(tree.join("file"), "content\n").unwrap();
        fs::write(tree.join("below/large"), vec![b'x'; 3 << 20]).unwrap();
        let copy = |from: &str, to: &str| session.kubectl_of(&["cp", from, to]);
        let back = session.path("back");
        let (there, home) = (tree.to_str().unwrap(), back.to_str().unwrap());

        assert_eq!(copy(there, "web:/tmp/tree").fine(), "");
        assert_eq!(session.kubectl("exec web -- cat /tmp/tree/file").fine(), "content\n");
        copy("web:/tmp/tree", home).done();
        assert_eq!(fs::read_to_string(back.join("file")).unwrap(), "content\n");
        assert_eq!(fs::read(back.join("below/large")).unwrap().len(), 3 << 20);
        let one = session.path("one");
        copy("default/web:/tmp/tree/file", one.to_str().unwrap()).done();
        assert_eq!(fs::read_to_string(one).unwrap(), "content\n");

        // Whether kubectl waits for what tar says of it is kubectl's matter.
        copy("web:/tmp/nothing", session.path("nothing").to_str().unwrap());
        assert!(!session.path("nothing").exists());
        assert_eq!(
            copy(there, "nobody:/tmp").refused(),
            "Error from server (NotFound): pods \"nobody\" not found\n"
        );
    });
}

#[test]
fn a_forwarded_port_leads_to_the_pods_page() {
    each(|session| {
        session.run_pod(&session.pod("web", &["serve=80", "term=0", "wait"]));
        let forward = session.start("port-forward pod/web :80 --address=127.0.0.1");
        let line = forward.expect_prefix("Forwarding from 127.0.0.1:");
        let port =
            line["Forwarding from 127.0.0.1:".len()..].strip_suffix(" -> 80").unwrap().parse().unwrap();
        for _ in 0..3 {
            assert_eq!(http_get(Ipv4Addr::LOCALHOST, port, "/").1, "web");
        }
        forward.kill();

        // Nobody listens there: the client hears why.
        let forward = session.start("port-forward pod/web :81 --address=127.0.0.1");
        let line = forward.expect_prefix("Forwarding from 127.0.0.1:");
        let port: u16 =
            line["Forwarding from 127.0.0.1:".len()..].strip_suffix(" -> 81").unwrap().parse().unwrap();
        let answer = crate::world::try_get((Ipv4Addr::LOCALHOST, port).into(), "/");
        assert!(answer.is_err() || answer.unwrap().1.is_empty());
        forward.expect_error("onnection refused");
        forward.kill();
        let refused = session.kubectl("port-forward nobody 8080:80").refused();
        assert_eq!(refused, "Error from server (NotFound): pods \"nobody\" not found\n");
    });
}
