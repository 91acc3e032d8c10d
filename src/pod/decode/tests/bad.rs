//! Bad manifests, and everything that is said of them.

use super::decode;

/// A good entry of `restartPolicyRules`.
const RULE: &str = "{action: Restart, exitCodes: {operator: In, values: [1]}}";

const CASES: &str = include_str!("bad.txt");

#[test]
fn every_problem_of_a_bad_manifest_is_reported_in_its_place() {
    let mut count = 0;
    for case in CASES.split("\n==== ").skip(1) {
        let (title, case) = case.split_once('\n').unwrap();
        let (kind, _) = title.split_once(": ").unwrap();
        let (written, expected) = case.split_once("====>\n").unwrap();
        check(title, &manifest(kind, &written.replace("<RULE>", RULE)), expected);
        count += 1;
    }
    assert!(count > 40, "{count} cases");
}

#[test]
fn long_values_are_cut_and_long_names_refused() {
    let name = "a".repeat(254);
    let shown = "a".repeat(199);
    check(
        "long name",
        &manifest("metadata", &format!("name: {name}")),
        &format!("4:9: metadata.name: Invalid value: \"{shown}...: must be no more than 253 bytes"),
    );
    let value = "x".repeat(262_144);
    check(
        "long annotation",
        &manifest("metadata", &format!("name: web\nannotations: {{a: {value}}}")),
        "5:16: metadata.annotations: Too long: may not be more than 262144 bytes",
    );
}

#[test]
fn a_list_of_search_domains_has_its_bounds() {
    let searches = |count: usize, length: usize| {
        let domains: Vec<String> = (0..count).map(|number| format!("x{number:x>0$}x", length - 2)).collect();
        manifest("spec", &format!("dnsConfig: {{searches: [{}]}}", domains.join(", ")))
    };
    let said = |manifest: &str| match decode(manifest.as_bytes(), "f") {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    for (count, length, expected) in [
        (32, 63, ""),
        (33, 4, "must not have more than 32 search paths"),
        // Of 63 characters and a space, one more than there may be.
        (32, 64, "must not have more than 2048 characters (including spaces) in the search list"),
    ] {
        let said = said(&searches(count, length));
        assert!(said.ends_with(expected) && said.is_empty() == expected.is_empty(), "{said}");
    }
}

#[test]
fn objects_hold_at_most_a_mebibyte() {
    let value = "x".repeat(1 << 20);
    let object =
        |kind: &str, fields: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n{fields}");
    check("as much as may be", &object("ConfigMap", &format!("data: {{a: {value}}}\n")), "nothing");
    check(
        "a byte more",
        &object("ConfigMap", &format!("data: {{a: {value}}}\nbinaryData: {{b: YQ==}}\n")),
        "1:1: Too long: may not be more than 1048576 bytes",
    );
    check(
        "a Secret",
        &object("Secret", &format!("stringData: {{a: {value}}}\ndata: {{b: YQ==}}\n")),
        "5:7: data: Too long: may not be more than 1048576 bytes",
    );
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_place() {
    let problems = decode(b"a: b\n\xc3\xa4: \xff", "f").unwrap_err();
    assert_eq!(problems.to_string(), "f:2:4: the file is not UTF-8");
}

/// The file in which `written` is what `kind` says.
fn manifest(kind: &str, written: &str) -> String {
    let indented =
        |margin: &str| -> String { written.lines().map(|line| format!("{margin}{line}\n")).collect() };
    let head = "apiVersion: v1\nkind: Pod\nmetadata:";
    match kind {
        "file" => written.to_owned(),
        "metadata" => {
            format!("{head}\n{}spec: {{containers: [{{name: c, image: nginx}}]}}\n", indented("  "))
        }
        "spec" => {
            let spec = "spec:\n  containers: [{name: c, image: nginx}]";
            format!("{head} {{name: web}}\n{spec}\n{}", indented("  "))
        }
        "container" => {
            let container = "spec:\n  containers:\n  - name: c\n    image: nginx";
            format!("{head} {{name: web}}\n{container}\n{}", indented("    "))
        }
        other => panic!("no such kind of case: {other}"),
    }
}

fn check(title: &str, manifest: &str, expected: &str) {
    let said = match decode(manifest.as_bytes(), "f") {
        Ok(_) => "nothing".to_owned(),
        Err(problems) => problems.to_string(),
    };
    let said: Vec<&str> = said.lines().map(|line| line.trim_start_matches("f:").trim_start()).collect();
    let expected =
        SENTENCES.iter().fold(expected.to_owned(), |text, (short, full)| text.replace(short, full));
    assert_eq!(said.join("\n"), expected.trim_end(), "{title}\n{manifest}");
}

const SENTENCES: [(&str, &str); 8] = [
    (
        "<SEARCH>",
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')",
    ),
    (
        "<SIGNALS>",
        r#""SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMAX-1", "SIGRTMAX-10", "SIGRTMAX-11", "SIGRTMAX-12", "SIGRTMAX-13", "SIGRTMAX-14", "SIGRTMAX-2", "SIGRTMAX-3", "SIGRTMAX-4", "SIGRTMAX-5", "SIGRTMAX-6", "SIGRTMAX-7", "SIGRTMAX-8", "SIGRTMAX-9", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5", "SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ""#,
    ),
    (
        "<KEY>",
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
         'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ),
    ("<SYSCTL>", r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"),
    (
        "<LABEL>",
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
         end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ),
    (
        "<SUBDOMAIN>",
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
         start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ),
    (
        "<VALUE>",
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
         start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
         validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ),
    (
        "<NAME>",
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
         character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ),
];
