//! What containers print: CRI log files, and `--logs`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ChildStdout;

use crate::world::{Pod, Run, World, until, world};

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

/// Small files, and enough of them that a reader on a busy machine sees each while it is there.
const ROTATION: [&str; 3] = ["--logs", "--container-log-max-size=2Mi", "--container-log-max-files=15"];

#[test]
fn every_line_of_a_flood_is_shown_in_order_over_rotation() {
    world(|world| flood(world, 60_000));
}

#[test]
#[ignore = "takes a minute; `make test-long` runs it"]
fn every_line_of_two_hundred_megabytes_is_shown_in_order_over_rotation() {
    world(|world| flood(world, 200_000));
}

fn run(world: &World, pod: &Pod) -> (Run, ChildStdout) {
    let mut command = world.mkubelet();
    command.arg("run").args(ROTATION).arg(world.write("pod.json", &pod.to_json()));
    world.start_unread(command)
}

fn flood(world: &World, lines: usize) {
    let steps = [format!("print-wide={lines}"), "report".to_owned(), "wait".to_owned()];
    let container = world.container("a", &steps.each_ref().map(String::as_str));
    let (run, mut stdout) = run(world, &world.pod("flood", [container]));
    let mut next = 0;
    for number in numbers(&mut stdout) {
        assert_eq!(number, next);
        next += 1;
        if next == lines {
            break;
        }
    }
    assert_eq!(next, lines);
    let directory = log_file(world, "flood", "a", 0).parent().unwrap().to_owned();
    let files: Vec<u64> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(files.len(), 15);
    assert!(files.iter().all(|bytes| *bytes <= 2 << 20), "{files:?}");
    run.stop();
}

#[test]
fn a_killed_shim_tears_no_line_and_the_next_attempt_is_shown_from_its_beginning() {
    world(|world| {
        let container = world.container("a", &["print-wide=20000", "wait"]);
        let (run, mut stdout) = run(world, &world.pod("cut", [container]));
        let (mut next, mut attempts) = (0, 1);
        for number in numbers(&mut stdout) {
            if number == 0 && next > 0 {
                attempts += 1;
                next = 0;
            }
            assert_eq!(number, next, "in attempt {attempts}");
            next += 1;
            match (attempts, next) {
                (1, 5000) => crate::world::kill(world.shim_pid()),
                (2, 20_000) => break,
                _ => {}
            }
        }
        assert_eq!((attempts, next), (2, 20_000));
        run.stop();
    });
}

/// The numbers of the lines of `print-wide`, of those that are shown whole.
fn numbers(stdout: impl Read) -> impl Iterator<Item = usize> {
    let lines = BufReader::new(stdout).lines().map(Result::unwrap).filter(|line| line.contains("/a] "));
    lines.map(|line| {
        let (_, text) = line.split_once("] line ").unwrap_or_else(|| panic!("a torn line: {line}"));
        assert_eq!(text.len(), 994, "a torn line: {line}");
        text.trim_end().parse().unwrap()
    })
}

#[test]
fn collectors_find_a_log_by_its_link_as_long_as_it_is_there() {
    world(|world| {
        let run = world.run(&world.pod("linked", [world.container("a", &["print=here", "report", "wait"])]));
        for attempt in 0..3 {
            run.expect_running("linked", "a", attempt);
            let links = until("links to the last two attempts", || {
                let links: Vec<PathBuf> =
                    fs::read_dir(world.path("containers")).ok()?.map(|entry| entry.unwrap().path()).collect();
                (links.len() == (attempt as usize + 1).min(2)).then_some(links)
            });
            for link in links {
                let name = link.file_name().unwrap().to_str().unwrap();
                let id = name.strip_prefix("linked_default_a-").and_then(|name| name.strip_suffix(".log"));
                assert_eq!(id.map(str::len), Some(64), "{name}");
                until("a line in a log", || {
                    fs::read_to_string(&link).ok().filter(|text| text.ends_with(" here\n"))
                });
            }
            crate::world::kill(world.pid_of("a"));
        }
        run.stop();
        assert_eq!(fs::read_dir(world.path("containers")).unwrap().count(), 0);
    });
}
