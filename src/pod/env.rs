//! Environment and argument vector of a container, by Kubernetes' rules: `$(NAME)` references, and how `command` and
//! `args` combine with the image's ENTRYPOINT and CMD.

use super::spec::{ContainerSpec, EnvVar};

/// Replaces each `$(NAME)` by what `vars` answers.
///
/// `$$` stands for a single `$`, so `$$(NAME)` is the text `$(NAME)`. A reference to a name that `vars` does not know
/// stays as it is written, and so does a `$` before anything else or an unclosed `$(`. What was put in is not expanded again.
pub fn expand(text: &str, vars: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, reference) = rest.split_at(dollar);
        out.push_str(before);
        rest = expand_one(reference, vars, &mut out);
    }
    out.push_str(rest);
    out
}

/// Takes what starts with `$` off `reference`, writes what it stands for, and returns what follows.
fn expand_one<'a>(reference: &'a str, vars: &dyn Fn(&str) -> Option<String>, out: &mut String) -> &'a str {
    let after = &reference[1..];
    if let Some(rest) = after.strip_prefix('$') {
        out.push('$');
        return rest;
    }
    if let Some((name, rest)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
        match vars(name) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&reference[..reference.len() - rest.len()]),
        }
        return rest;
    }
    out.push('$');
    after
}

/// The variables of a manifest with their values expanded. A value may refer to entries before its own; a later entry of
/// the same name replaces the earlier one. The image's own variables cannot be referred to, as in Kubernetes.
pub fn resolve(entries: &[EnvVar]) -> Vec<(String, String)> {
    let mut resolved: Vec<(String, String)> = Vec::with_capacity(entries.len());
    for EnvVar { name, value } in entries {
        let value = expand(value, &|name| lookup(&resolved, name));
        match resolved.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => resolved.push((name.clone(), value)),
        }
    }
    resolved
}

/// The arguments that a container is started with, program first; empty when neither the manifest nor the image has any.
///
/// | `command` | `args` | result |
/// |---|---|---|
/// | no | no | ENTRYPOINT, then CMD |
/// | no | yes | ENTRYPOINT, then `args` |
/// | yes | no | `command` alone |
/// | yes | yes | `command`, then `args` |
///
/// References are expanded in `command` and `args` from `env` (see [`resolve`]), never in the image's words.
pub fn argv(
    container: &ContainerSpec,
    entrypoint: &[String],
    cmd: &[String],
    env: &[(String, String)],
) -> Vec<String> {
    let expanded = |words: &[String]| -> Vec<String> {
        words.iter().map(|word| expand(word, &|name| lookup(env, name))).collect()
    };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    match (command.is_empty(), args.is_empty()) {
        (true, true) => [entrypoint, cmd].concat(),
        (true, false) => [entrypoint, &args].concat(),
        (false, _) => [command, args].concat(),
    }
}

fn lookup(env: &[(String, String)], name: &str) -> Option<String> {
    env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn var(name: &str, value: &str) -> EnvVar {
        EnvVar { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn references_expand_as_in_kubernetes() {
        let vars = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "B" => Some("$(A)".to_owned()),
            "EMPTY" => Some(String::new()),
            "with space" => Some("s".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "a"),
            ("x$(A)y$(A)z", "xayaz"),
            ("$(B)", "$(A)"),
            ("$(EMPTY)", ""),
            ("$(with space)", "s"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$()", "$()"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$$$$(A)", "$$(A)"),
            ("$$", "$"),
            ("$", "$"),
            ("a$", "a$"),
            ("$A", "$A"),
            ("${A}", "${A}"),
            ("$(A", "$(A"),
            ("$(A$(A)", "$(A$(A)"),
            ("$(A))", "a)"),
            ("ü$(A)ü", "üaü"),
            ("$ü", "$ü"),
        ] {
            assert_eq!(expand(text, &vars), expected, "{text:?}");
        }
    }

    #[test]
    fn a_variable_sees_the_ones_before_it() {
        let resolved = resolve(&[
            var("EARLY", "$(LATE)"),
            var("HOST", "db"),
            var("LATE", "late"),
            var("URL", "http://$(HOST)/$(LATE)"),
            var("HOST", "db2.$(HOST)"),
        ]);
        let expected =
            [("EARLY", "$(LATE)"), ("HOST", "db2.db"), ("LATE", "late"), ("URL", "http://db/late")];
        assert_eq!(resolved, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn command_and_args_combine_with_the_image_as_in_kubernetes() {
        let env = [("WHO".to_owned(), "you".to_owned())];
        for (command, args, expected) in [
            ("", "", "entry $(WHO) cmd"),
            ("", "hi $(WHO)", "entry $(WHO) hi you"),
            ("/bin/$(WHO)", "", "/bin/you"),
            ("sh", "-c $(WHO)", "sh -c you"),
        ] {
            let container = ContainerSpec {
                command: words(command),
                args: words(args),
                ..crate::pod::spec::tests::container("c")
            };
            assert_eq!(
                argv(&container, &words("entry $(WHO)"), &words("cmd"), &env),
                words(expected),
                "{command:?} {args:?}"
            );
        }
        let nothing = crate::pod::spec::tests::container("c");
        assert!(argv(&nothing, &[], &[], &[]).is_empty());
    }
}
