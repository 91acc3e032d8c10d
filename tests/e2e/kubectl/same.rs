//! mkubelet's own verbs beside kubectl's: the same bytes, on both streams, and the same exit code.

use serde_json::json;

use super::each_newer;
use super::said::Said;

/// What differs by nature: how old things are, to the second, and how wide that makes their column.
fn without_ages(text: &str) -> String {
    let is_age = |word: &str| {
        let number = word.trim_end_matches(['s', 'm', 'h']);
        number.len() < word.len()
            && number.bytes().all(|byte| byte.is_ascii_digit() || b"smh".contains(&byte))
    };
    let words = |line: &str| {
        let mut words = Vec::new();
        for word in line.split(' ') {
            let in_ages = is_age(word) || ["AGE", "Age", "----"].contains(&word);
            // Between two spaces there is an empty word.
            if !word.is_empty() || words.last() != Some(&"AGE") {
                words.push(if in_ages { "AGE" } else { word });
            }
        }
        words.join(" ").trim_end().to_owned()
    };
    text.lines().map(|line| words(line) + "\n").collect()
}

#[test]
fn an_age_of_one_character_more_is_no_difference() {
    let table =
        |age: &str| format!("NAME   AGE{}   IP\nweb    {age}   10.0.0.1\n", " ".repeat(age.len() - 2));
    assert_eq!(without_ages(&table("99s")), without_ages(&table("100s")));
    assert_eq!(without_ages("9s          Normal\n"), without_ages("10s         Normal\n"));
    assert_ne!(without_ages("9s   Normal\n"), without_ages("9s   Warning\n"));
}

#[test]
fn what_both_can_say_they_say_alike() {
    each_newer(|session| {
        session.run_pod(&session.pod("web", &["print=hello", "term=0", "wait"]).label("app", "web"));
        let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}});
        session.kubectl_with(&["create", "-f", "-"], &settings.to_string()).fine();
        let mut differences = Vec::new();
        for line in [
            "get pods",
            "get pods -o wide",
            "get pods --show-labels",
            "get pods -A",
            "get pods -o name",
            "get pod web -o json",
            "get pods,cm",
            "get pod web nobody",
            "get pods -l app=none",
            "get nodes",
            "get namespaces",
            "get cm settings -o yaml",
            "get events",
            "get nothing",
            "get all",
            "get pods --server-print=false",
            "logs web -c nobody",
            "label pod web a=b --dry-run=client -o yaml",
            "get pod nobody",
            "describe pod web",
            "describe cm settings",
            "describe namespace default",
            "describe pod nobody",
            "logs web",
            "logs web -p",
            "exec web -- sh -c exit\u{a0}3",
            "exec nobody -- true",
            "label pod web app=other",
            "label pod nobody a=b",
            "annotate pod web note=1 --dry-run=server",
            "patch pod web -p {} --type=merge",
            "patch pod nobody -p {}",
            "delete pod nobody",
            "wait --for=condition=Ready pod/web --timeout=5s",
            "wait --for=condition=None pod/web --timeout=1s",
            "get pods -L app,tier",
            "get pods -l app=other --show-kind --no-headers",
            "get pod web --subresource=status -o name",
            "get pod web --subresource=nothing",
            "get pods --subresource=status",
            "get pods --watch=false --chunk-size=1",
            "get --raw /healthz",
            "get --raw /nothing",
            "logs web --all-pods",
            "logs web --all-containers=true --prefix --tail=1",
            "label pod web --list",
            "label pods --all --list",
            "label pod web a=b --resource-version=1",
            "annotate pod web --list",
            "delete cm nobody --cascade=orphan",
            "delete cm settings -i",
            "debug web --copy-to=c",
            "debug web --copy-to=c -- ls",
            "debug web --copy-to=c --attach",
            "debug web --copy-to=c --target=a --image=b",
            "debug web --copy-to=c -c nobody -- ls",
            "debug web --replace",
            "debug web --same-node",
            "debug web --set-image=a=b",
            "debug nobody --copy-to=c --image=b",
            "run x --image=i --dry-run=client --overrides={",
            "run x --image=i --dry-run=client --overrides={} --override-type=other",
            "run x --image=i --dry-run=client -o yaml --overrides={\"spec\":{\"hostNetwork\":true}}",
            "run x --image=i --dry-run=client -o yaml --expose --port=80",
        ] {
            // A word with a space in it.
            let words: Vec<String> = line.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let of = |said: Said| (said.code, without_ages(&said.out), without_ages(&said.err));
            // Once more, for an event may have come in between.
            for is_last in [false, false, true] {
                let theirs = of(session.kubectl_of(&words));
                let ours = of(Said::of(session.world.output(&words)));
                if ours == theirs {
                    break;
                }
                if is_last {
                    differences.push(format!("{line}\n  mkubelet: {ours:?}\n  kubectl:  {theirs:?}"));
                }
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    });
}
