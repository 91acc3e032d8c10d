//! What containers print: CRI log files, and `--logs`.

use std::fs;
use std::path::PathBuf;

use crate::world::{World, until, world};

/// The container's log file, once it is there.
fn log_file(world: &World, pod: &str, container: &str, attempt: u32) -> PathBuf {
    until("a log file", || {
        let entries = fs::read_dir(world.log_dir()).ok()?.flatten();
        let dir = entries
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains(&format!("default_{pod}_")))?;
        Some(dir.join(container).join(format!("{attempt}.log"))).filter(|path| path.exists())
    })
}

/// A CRI line taken apart: time, stream, tag, text.
fn fields(line: &str) -> [&str; 4] {
    let mut parts = line.splitn(4, ' ');
    std::array::from_fn(|_| parts.next().unwrap_or_else(|| panic!("not a CRI line: {line}")))
}

#[test]
fn output_arrives_in_cri_format_with_its_stream() {
    world(|world| {
        let run = world.run(
            &world.pod("talks", [world.container("a", &["print=hello", "complain=oh no", "report", "wait"])]),
        );
        world.answer("a", "report").unwrap();
        let file = log_file(world, "talks", "a", 0);
        let text = until("two log lines", || {
            fs::read_to_string(&file).ok().filter(|text| text.lines().count() == 2)
        });
        let mut found: Vec<[&str; 3]> = Vec::new();
        for line in text.lines() {
            let [time, stream, tag, text] = fields(line);
            assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
            found.push([stream, tag, text]);
        }
        found.sort_unstable();
        assert_eq!(found, [["stderr", "F", "oh no"], ["stdout", "F", "hello"]]);
        run.stop();
    });
}

#[test]
fn a_line_of_one_megabyte_arrives_whole() {
    world(|world| {
        let steps = ["print=before", "print-bytes=1048576", "print=after", "report", "wait"];
        let run = world.run_with(&world.pod("long", [world.container("a", &steps)]), &["--logs"]);
        world.answer("a", "report").unwrap();
        run.expect("[default/long/a] after");
        let shown = run.expect_prefix("[default/long/a] xxx");
        assert_eq!(shown.len(), "[default/long/a] ".len() + (1 << 20));

        let text = fs::read_to_string(log_file(world, "long", "a", 0)).unwrap();
        let mut lines = vec![String::new()];
        for line in text.lines() {
            let [_, _, tag, text] = fields(line);
            assert!(text.len() <= 16 << 10, "a line of the file holds at most 16 KiB");
            lines.last_mut().unwrap().push_str(text);
            match tag {
                "F" => lines.push(String::new()),
                other => assert_eq!(other, "P"),
            }
        }
        lines.pop();
        assert_eq!(lines, ["before", &"x".repeat(1 << 20), "after"]);
        run.stop();
    });
}

#[test]
fn no_line_is_lost_when_a_container_prints_and_ends_at_once() {
    world(|world| {
        let pod = world
            .pod("burst", [world.container("a", &["print-lines=20000", "print=the end"])])
            .restart_policy("Never");
        let ended = world.run_with(&pod, &["--logs"]).wait().success();
        let lines: Vec<&str> =
            ended.stdout.iter().filter_map(|line| line.strip_prefix("[default/burst/a] ")).collect();
        assert_eq!(lines.len(), 20001);
        assert!(lines[..20000].iter().enumerate().all(|(number, line)| *line == format!("line {number}")));
        assert_eq!(lines[20000], "the end");
    });
}

#[test]
fn a_last_line_without_newline_is_shown() {
    world(|world| {
        let pod = world.pod("cut", [world.container("a", &["mutter=half a line"])]).restart_policy("Never");
        world.run_with(&pod, &["--logs"]).wait().success().printed("[default/cut/a] half a line");
    });
}

#[test]
fn each_attempt_has_a_log_of_its_own() {
    world(|world| {
        let run =
            world.run_with(&world.pod("twice", [world.container("a", &["print=here", "wait"])]), &["--logs"]);
        run.expect_running("twice", "a", 0);
        run.expect("[default/twice/a] here");
        crate::world::kill(world.pid_of("a"));
        run.expect_running("twice", "a", 1);
        let second = log_file(world, "twice", "a", 1);
        until("the second attempt to print", || {
            fs::read_to_string(&second).ok().filter(|text| text.ends_with(" here\n"))
        });
        run.stop();
    });
}
