//! Which objects a command is about: `pods`, `po,cm`, `pod web db`, `pod/web cm/settings`.

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Asked {
    /// All objects of these types.
    All(Vec<String>),
    /// Objects by type and name.
    Named(Vec<(String, String)>),
}

/// Reads the arguments of `get`, `describe`, `delete` and their like. Errors are kubectl's.
pub(in crate::cli) fn parse(arguments: &[String]) -> Result<Asked, String> {
    let [first, names @ ..] = arguments else {
        return Err("you must specify the type of resource to get".to_owned());
    };
    if arguments.iter().any(|argument| argument.contains('/')) {
        return pairs(arguments).map(Asked::Named);
    }
    let types: Vec<String> = first.split(',').map(str::to_owned).collect();
    if let Some(position) = types.iter().position(String::is_empty) {
        return Err(match position {
            0 if types.len() == 1 => "resource type cannot be empty".to_owned(),
            _ => format!("arguments in resource/name form must have a single resource and name: {first:?}"),
        });
    }
    if names.is_empty() {
        return Ok(Asked::All(types));
    }
    let named = types.iter().flat_map(|kind| names.iter().map(move |name| (kind.clone(), name.clone())));
    Ok(Asked::Named(named.collect()))
}

fn pairs(arguments: &[String]) -> Result<Vec<(String, String)>, String> {
    let pair = |argument: &String| {
        let (kind, name) = argument.split_once('/').ok_or_else(|| {
            "there is no need to specify a resource type as a separate argument when passing arguments in \
             resource/name form (e.g. 'mkubelet get resource/<resource_name>' instead of 'mkubelet get resource \
             resource/<resource_name>'"
                .to_owned()
        })?;
        if kind.is_empty() || name.is_empty() || name.contains('/') {
            return Err("arguments in resource/name form must have a single resource and name".to_owned());
        }
        Ok((kind.to_owned(), name.to_owned()))
    };
    arguments.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_names_are_read_as_kubectl_reads_them() {
        let all = |types: &[&str]| Ok(Asked::All(types.iter().map(|kind| (*kind).to_owned()).collect()));
        let named = |pairs: &[(&str, &str)]| {
            Ok(Asked::Named(
                pairs.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect(),
            ))
        };
        for (line, expected) in [
            ("pods", all(&["pods"])),
            ("po,cm", all(&["po", "cm"])),
            ("pod web", named(&[("pod", "web")])),
            ("pod web db", named(&[("pod", "web"), ("pod", "db")])),
            ("po,cm x", named(&[("po", "x"), ("cm", "x")])),
            ("pod/web cm/settings", named(&[("pod", "web"), ("cm", "settings")])),
        ] {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(parse(&arguments), expected, "{line}");
        }
        for (arguments, error) in [
            (vec![], "you must specify the type of resource"),
            (vec!["pod", "pod/web"], "there is no need to specify a resource type"),
            (vec!["pod/"], "must have a single resource and name"),
            (vec!["pod/a/b"], "must have a single resource and name"),
            (vec![""], "resource type cannot be empty"),
        ] {
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            let refused = parse(&arguments).unwrap_err();
            assert!(refused.contains(error), "{arguments:?}: {refused}");
        }
    }
}
