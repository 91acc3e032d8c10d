//! What `mkubelet stats` says of pods that run, with their agents and without.

use serde_json::{Value, json};

use crate::world::{World, until, world};

fn json_of(world: &World) -> Value {
    let output = world.output(&["stats", "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn use_is_told_for_each_container_that_runs_agent_or_not() {
    world(|world| {
        assert_eq!(json_of(world)["pods"], json!([]));
        let limits = json!({"limits": {"cpu": "200m", "memory": "64Mi"}});
        let busy = world.container("busy", &["hold=16", "spin=1", "wait"]).with("resources", limits);
        let over = world.container("over", &["exit=0"]);
        let pod = world.pod("pod", [busy, over]).restart_policy("OnFailure");
        let run = world.run(&pod);
        run.expect_running("pod", "busy", 0);
        run.expect_state("pod", "over", |state| state == "Terminated (Completed)");
        run.kill();

        let summary = until("use of the memory and the processor", || {
            let summary = json_of(world);
            let container = &summary["pods"][0]["containers"][0];
            let rss = container["memory"]["rssBytes"].as_u64()?;
            (rss >= 16 << 20 && container["cpu"]["usageNanoCores"].as_u64()? > 0).then_some(summary)
        });
        let whole = &summary["pods"][0];
        assert_eq!(whole["podRef"]["name"], "pod");
        assert_eq!(whole["containers"].as_array().unwrap().len(), 1, "the other one is over");
        let (container, figure) = (&whole["containers"][0], |of: &Value| of.as_u64().unwrap());
        assert_eq!(container["name"], "busy");
        let memory = &container["memory"];
        assert!(figure(&memory["workingSetBytes"]) >= figure(&memory["rssBytes"]));
        assert_eq!(figure(&memory["availableBytes"]) + figure(&memory["workingSetBytes"]), 64 << 20);
        assert!(
            figure(&whole["memory"]["usageBytes"]) >= figure(&memory["usageBytes"]),
            "the pod is all of it"
        );
        assert!(figure(&container["cpu"]["usageNanoCores"]) < 300_000_000, "it may use 200m");
        assert!(figure(&whole["process_stats"]["process_count"]) >= 3);

        let table = world.output(&["stats", "-o", "wide"]).stdout;
        let table = String::from_utf8(table).unwrap();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((lines.len(), &lines[1][..3]), (2, &["default", "pod", "busy"][..]), "{table}");
        assert!(
            lines[1][3].ends_with('m') && lines[1][4].ends_with("Mi") && lines[1][7].ends_with('%'),
            "{table}"
        );
        let again = world.run(&pod);
        again.expect("pod default/pod: Running");
        again.stop();
    });
}
