//! The examples of Kubernetes' own page on JSON paths, and what kubectl 1.32 makes of the rest.

use serde_json::json;

use super::*;

/// The input of <https://kubernetes.io/docs/reference/kubectl/jsonpath/>.
fn documented() -> Value {
    json!({
        "kind": "List",
        "items": [
            {
                "kind": "None",
                "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
                "status": {
                    "capacity": {"cpu": "4"},
                    "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]
                }
            },
            {
                "kind": "None",
                "metadata": {"name": "127.0.0.2"},
                "status": {
                    "capacity": {"cpu": "8"},
                    "addresses": [
                        {"type": "LegacyHostIP", "address": "127.0.0.2"},
                        {"type": "another", "address": "127.0.0.3"}
                    ]
                }
            }
        ],
        "users": [
            {"name": "myself", "user": {}},
            {"name": "e2e", "user": {"username": "admin", "password": "secret"}}
        ]
    })
}

fn print(object: &Value, template: &str) -> Result<String, String> {
    Template::parse(template)?.text(object, Missing::Nothing)
}

#[test]
fn the_documented_examples_print_what_is_documented() {
    let object = documented();
    for (template, expected) in [
        ("kind is {.kind}", "kind is List"),
        ("{.kind}", "List"),
        ("{['kind']}", "List"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.users[0].name}", "myself"),
        ("{.users[-1].name}", "e2e"),
        (
            "{.items[*]['metadata.name', 'status.capacity']}",
            "127.0.0.1 127.0.0.2 {\"cpu\":\"4\"} {\"cpu\":\"8\"}",
        ),
        ("{.users[?(@.name==\"e2e\")].user.password}", "secret"),
        (
            "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
            "[127.0.0.1, {\"cpu\":\"4\"}] [127.0.0.2, {\"cpu\":\"8\"}] ",
        ),
        ("{range .items[*]}{.metadata.name}{'\\t'}{end}", "127.0.0.1\t127.0.0.2\t"),
        ("{.items[*].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1"),
        ("{.items[0].metadata.labels['kubernetes\\.io/hostname']}", "127.0.0.1"),
    ] {
        assert_eq!(print(&object, template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn templates_print_what_kubectl_prints() {
    let object = json!({
        "n": [0, 1, 2, 3, 4], "empty": [], "none": null, "text": "a<b", "flag": true, "half": 0.5, "un-usual": 1,
        "map": {"b": [1, {"d": "<&>"}], "a": "x\"y"},
        "pods": [
            {"name": "a", "restarts": 0, "tty": true, "cpu": 0.5, "of": {"kind": "x=y"}},
            {"name": "b", "restarts": 7, "cpu": 2, "ports": [{"p": 1}, {"p": 2}]},
            {"name": "c)", "restarts": 12, "cpu": 1}
        ]
    });
    for (template, expected) in [
        ("", ""),
        ("no path } here", "no path } here"),
        ("{}", "{\"empty\":[],\"flag\":true,\"half\":0.5,\"map\":"),
        (
            "{.n[1:3]}|{.n[:2]}|{.n[3:]}|{.n[::2]}|{.n[1:4:2]}|{.n[-2:]}|{.n[2:2]}|{.n[9:9]}",
            "1 2|0 1|3 4|0 2 4|1 3|3 4||",
        ),
        ("{.n[0,2]} {.n[-1]} {.n[]} {.n[1:-1]}", "0 2 4 0 1 2 3"),
        ("{.map}", r#"{"a":"x\"y","b":[1,{"d":"\u003c\u0026\u003e"}]}"#),
        ("{.text} {.flag} {.half} {.none} {.un-usual}", "a<b true 0.5 null 1"),
        ("{.map.*}", r#"x"y [1,{"d":"\u003c\u0026\u003e"}]"#),
        ("{.none.x}{.text.x}{.nothing}{.nothing[0].x}{.none[0]}", ""),
        ("{$.text}{@.text}{ .text }", "a<ba<ba<b"),
        ("{1.5} {-3} {true} {\"a\\u00e9\\n\\\"\"}{'x\"y\\''}", "1.5 -3 true aé\n\"x\"y'"),
        ("{.pods[?(@.tty)].name}", "a"),
        ("{.pods[?(@.restarts>5)].name}", "b c)"),
        ("{.pods[?(@.restarts >= 7)].name} {.pods[?(@.restarts!=7)].name}", "b c) a c)"),
        ("{.pods[?(@.cpu<1)].name} {.pods[?(@.cpu<=1)].name} {.pods[?(1==@.cpu)].name}", "a a c) c)"),
        ("{.pods[?(@.name==\"c)\")].restarts} {.pods[?(@.of.kind=='x=y')].name}", "12 a"),
        ("{.pods[?(@.ports[0].p==1)].name} {.pods[?(@.ports[5])].name}", "b "),
        ("{.pods[?(@.tty==true)].name} {.pods[?(@.name>\"a\")].name}", "a b c)"),
        ("{range .pods[*]}{.name}:{range .ports[*]}{.p},{end};{end}.", "a:;b:1,2,;c):;."),
        ("{range .nothing[*]}{.name}{end}done", "done"),
        ("{range .pods[*]}{.name}", "abc)"),
        ("{..p}", "1 2"),
        ("{.map..d}", "<&>"),
    ] {
        let printed = print(&object, template).unwrap_or_else(|why| panic!("{template}: {why}"));
        let is_as_expected =
            if template == "{}" { printed.starts_with(expected) } else { printed == expected };
        assert!(is_as_expected, "{template}: {printed:?} instead of {expected:?}");
    }
}

#[test]
fn what_is_no_template_is_refused_in_kubectls_words() {
    let object = json!({"n": [1], "text": "x", "flags": [{"f": true}]});
    for (template, expected) in [
        ("{.items[", "unterminated array"),
        ("{.n[a]}", "invalid array index a"),
        ("{.n[0:1:1:1]}", "invalid array index 0:1:1:1"),
        ("{.n[-]}", "array index - is not a number"),
        ("{.n[0].x", "unclosed action"),
        ("{.x\n}", "unclosed action"),
        ("{.n[?(@.x}", "unterminated filter"),
        ("{.n[?(@.x)}", "unclosed array expect ]"),
        ("{.n[?(@.x=~\"w\")]}", "unrecognized character in action: U+007E '~'"),
        ("{.n[?(@.x=<2)]}", "unrecognized filter operator =<"),
        ("{'x}", "unterminated quoted string"),
        ("{'\\q'}", "unquote string '\\q' error invalid syntax"),
        ("{hello}", "unrecognized identifier hello"),
        ("{end}", "not in range, nothing to end"),
        ("{....x}", "invalid multiple recursive descent"),
        ("{..*}", "unrecognized character in action: U+002A '*'"),
        ("{1.2.3}", "cannot parse number 1.2.3"),
        ("{.n[5]}", "array index out of bounds: index 5, length 1"),
        ("{.n[-2]}", "array index out of bounds: index -1, length 1"),
        ("{.n[0:9]}", "array index out of bounds: index 8, length 1"),
        ("{.n[2:1]}", "array index out of bounds: index 2, length 1"),
        ("{.n[::0]}", "step must be > 0"),
        ("{.text[0]}", "string is not array or slice"),
        ("{.text[?(@.x)]}", "x is not array or slice and cannot be filtered"),
        ("{.flags[?(@.f==\"true\")]}", "incompatible types for comparison"),
        ("{.flags[?(@.f>false)]}", "invalid type for comparison"),
    ] {
        assert_eq!(print(&object, template), Err(expected.to_owned()), "{template}");
    }
}

#[test]
fn a_field_that_is_not_there_is_nothing_or_an_error() {
    let object = json!({"a": {}});
    let template = Template::parse("{.a.b.c}").unwrap();
    assert_eq!(template.text(&object, Missing::Nothing).as_deref(), Ok(""));
    assert_eq!(template.text(&object, Missing::Error), Err("b is not found".to_owned()));
}

#[test]
fn a_relaxed_path_needs_neither_dot_nor_braces() {
    for text in ["metadata.name", ".metadata.name", "{metadata.name}", "{.metadata.name}"] {
        assert_eq!(relaxed(text).as_deref(), Ok("{.metadata.name}"), "{text}");
    }
    for text in ["", ".", "{}", "{.a", "a}", "{.a}{.b}"] {
        assert!(relaxed(text).unwrap_err().starts_with("unexpected path string"), "{text}");
    }
}

#[test]
fn go_prints_maps_and_lists_in_brackets() {
    let value = json!({"b": [1, null, "x"], "a": {"c": true}});
    assert_eq!(plain(&value), "map[a:map[c:true] b:[1 <nil> x]]");
}
