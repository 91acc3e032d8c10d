//! YAML as kubectl writes it, byte for byte.

use serde_json::{Value, json};

use super::each_newer;
use super::said::Said;

/// Texts that an emitter of YAML may stumble over, each as a value and as a key.
const TEXTS: [&str; 44] = [
    "",
    "plain",
    "a b",
    "10.85.0.2",
    "192.0.2.2:80",
    "1.5",
    "1e3",
    "0x1F",
    "010",
    "08",
    "1_000",
    "1:30",
    "80:80",
    "2026-11-26",
    "2026-11-26T01:59:52Z",
    "yes",
    "No",
    "null",
    "~",
    "n",
    "a: b",
    "a:",
    "- a",
    "-a",
    "#x",
    "a #b",
    "{a}",
    "[a]",
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "`a`",
    "'a'",
    "\"a\"",
    "? a",
    " a",
    "a ",
    "a\tb",
    "gr\u{fc}n",
    "\u{1f600}",
    "<<",
    "=",
];

/// And some of several lines.
const LINES: [&str; 10] =
    ["a\nb\n", "a\nb", "a\n\nb\n\n", "\n", "\n\na", "  a\nb\n", "a \nb", "a\n b ", "a\r\nb\r\n", "a\n\tb\n"];

#[test]
fn every_text_is_written_alike() {
    each_newer(|session| {
        let long = |first: &str| format!("{first}{}", "word and another ".repeat(14).trim_end());
        let mut texts: Vec<String> = TEXTS.iter().chain(&LINES).map(|&text| text.to_owned()).collect();
        texts.extend([
            long("w"),
            long("#"),
            long("a: "),
            long("\t"),
            long("").replace(' ', "  "),
            "x".repeat(200),
        ]);
        let values: Vec<Value> = texts.iter().map(|text| text.clone().into()).collect();
        let data: serde_json::Map<String, Value> =
            texts.iter().enumerate().map(|(at, text)| (format!("k{at}"), text.clone().into())).collect();
        let keys = ["a1", "a10", "a9", "a09", "B", "b", "1", "-x", "x.y", "x-y", "x_y", "on"];
        let labels: serde_json::Map<String, Value> = keys
            .iter()
            .filter(|key| !key.starts_with('-'))
            .map(|key| ((*key).to_owned(), "".into()))
            .collect();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "annotations": {"note": "a: b"}, "labels": labels},
            "spec": {"nodeName": "elsewhere", "containers": [{"name": "c", "image": "i", "args": values}]},
        });
        let settings =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data});
        for object in [pod, settings] {
            session.kubectl_with(&["create", "-f", "-"], &object.to_string()).fine();
        }
        for line in ["get pod web -o yaml", "get cm settings -o yaml", "get pods,cm -o yaml"] {
            let theirs = session.kubectl(line).fine();
            let words: Vec<&str> = line.split(' ').collect();
            let ours = Said::of(session.world.output(&words)).fine();
            let different = theirs.lines().zip(ours.lines()).find(|(theirs, ours)| theirs != ours);
            assert_eq!(different, None, "{line}: kubectl, mkubelet");
            assert_eq!(ours, theirs, "{line}");
        }
    });
}
