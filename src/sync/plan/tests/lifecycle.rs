//! The life of whole pods, as `lifecycle.txt` tells it. Its cases follow the list of Kubernetes' own node tests of the
//! container lifecycle (kubernetes/kubernetes, test/e2e_node), and what its documentation and the kubelet's sources say.

use super::world::Script;

const CASES: &str = include_str!("lifecycle.txt");

#[test]
fn every_pod_lives_as_kubernetes_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in CASES.split("\n==== ").skip(1) {
        let (title, case) = case.split_once('\n').unwrap();
        let (script, expected) = case.split_once("====>\n").unwrap();
        // What follows is the title of a chapter.
        let expected = expected.split("\n\n").next().unwrap();
        let policies = script.lines().next().unwrap().strip_prefix("pod: ").unwrap();
        let (policies, rest) = policies.split_once(' ').unwrap_or((policies, ""));
        for policy in policies.split('|') {
            let pod = format!("pod: {policy} {rest}");
            let lines = script.split_once('\n').unwrap().1;
            let played = Script::read(&format!("{}\n{lines}", pod.trim_end())).play();
            if played != expected.trim_end() {
                wrong.push(format!("{title}, {policy}:\n{played}\n"));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases\n\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 100, "{count} cases");
}
