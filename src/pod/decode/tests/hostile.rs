//! Bytes of a stranger: answered, whatever they are, and soon.

use std::time::Duration;

use proptest::prelude::*;

use super::decode;
use crate::pod::effort::effort;

const GOOD: &str = include_str!("good.yaml");

/// Bombs and the like; what is said of the smaller ones stands with the parser's tests.
#[test]
fn hostile_files_are_answered_fast() {
    let pod = |fields: String| format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n{fields}");
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let containers = |list: String| pod(format!("spec: {{containers: [{list}]}}\n"));
    let bomb = many(40, &|level| {
        format!("a{}: &a{} [{}]\n", level + 1, level + 1, format!("*a{level}, ").repeat(9))
    });
    let mut texts = vec![
        format!("a0: &a0 [x]\n{bomb}"),
        pod(many(9_000, &|nth| format!("field{nth}: x\n"))),
        pod(format!("  labels:\n{}", many(9_000, &|nth| format!("    'a {nth}': '-'\n")))),
        containers(format!("{{name: a, args: [{}]}}", many(250_000, &|nth| format!("{nth},")))),
        containers(many(30_000, &|nth| format!("{{name: b, foo: {nth}}},"))),
        many(25_000, &|_| "---\nkind: Pod\napiVersion: v1\nmetadata: {name: x}\n".to_owned()),
    ];
    for unit in
        ["[", "{", "- ", "? ", "a: ", "[a, ", "'", "\\", "\n", " ", "\t", "&a ", "---\n", "- {a: b}\n", "\0"]
    {
        texts.push(unit.repeat(400_000 / unit.len()));
    }
    for text in texts {
        let (refused, effort) = effort(|| decode(text.as_bytes(), "f").unwrap_err().to_string());
        let lines = refused.lines().count();
        assert!(lines <= 101, "{lines} lines");
        let start: String = text.chars().take(60).collect();
        assert!(effort < Duration::from_secs(20), "{start:?} took {effort:?}");
    }
}

/// A cut, a change or a repetition somewhere in a good manifest.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let places = prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, any::<Vec<u8>>()), 1..6);
    places.prop_map(|places| {
        places.into_iter().fold(GOOD.as_bytes().to_vec(), |mut bytes, (index, length, replacement)| {
            let start = index.index(bytes.len().max(1)).min(bytes.len());
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, replacement.into_iter().take(20));
            bytes
        })
    })
}

/// One scalar of a good manifest becomes another token.
fn retyped() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "5",
        "-1",
        "1e9",
        "null",
        "[]",
        "{}",
        "'x'",
        "[a]",
        "{a: b}",
        "true",
        "*x",
        "&x y",
        "",
        "99999999999999999999",
        "!!str 1",
        "\"\\0\"",
        "..",
        "|",
        ">-",
        "- ",
        "? ",
    ]);
    let lines: Vec<&str> = GOOD.lines().collect();
    let count = lines.len();
    (0..count, token).prop_map(move |(nth, token)| {
        let mut lines: Vec<String> = GOOD.lines().map(str::to_owned).collect();
        if let Some((key, _)) = lines[nth].split_once(':') {
            lines[nth] = format!("{key}: {token}");
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_decoding_panic(bytes in any::<Vec<u8>>()) {
        let _ = decode(&bytes, "f");
    }

    #[test]
    fn no_text_of_yaml_tokens_makes_decoding_panic(text in "[-?:,\\[\\]{}#&*!|>'\"%@`a-c0-9 \t\n~<\\\\éu]{0,80}") {
        let _ = decode(text.as_bytes(), "f");
    }

    #[test]
    fn no_change_of_a_good_manifest_makes_decoding_panic(bytes in mutated()) {
        let _ = decode(&bytes, "f");
    }

    #[test]
    fn no_other_type_of_a_field_makes_decoding_panic(text in retyped()) {
        let _ = decode(text.as_bytes(), "f");
    }
}
