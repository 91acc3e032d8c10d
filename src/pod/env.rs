//! Environment and argument vector of a container, by Kubernetes' rules: where values come from, `$(NAME)` references, and
//! how `command` and `args` combine with the image's ENTRYPOINT and CMD.

use std::collections::{BTreeMap, HashMap};

use super::Pod;
use super::downward::{self, Facts, NoSuchContainer};
use super::env_file;
use super::objects::Objects;
use super::spec::{ContainerSpec, EnvFile, EnvFrom, FileKeySelector, KeySelector, ObjectKind, ValueSource};

/// Variables in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    list: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Variables {
    /// Sets a variable; one that there is keeps its place.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        match self.places.get(&name) {
            Some(&place) => self.list[place].1 = value.into(),
            None => {
                self.places.insert(name.clone(), self.list.len());
                self.list.push((name, value.into()));
            }
        }
    }

    /// The variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|&place| self.list[place].1.as_str())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What the values of variables can be taken from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The pod, which the downward API tells of.
    pub pod: &'a Pod,
    /// ConfigMaps and Secrets.
    pub objects: &'a Objects,
    /// What else the downward API tells.
    pub facts: &'a Facts,
    /// What the files say that containers left in volumes; nothing of those that are not there.
    pub files: &'a Files,
}

/// Files of variables, as they were read.
pub type Files = BTreeMap<EnvFile, Vec<u8>>;

/// Why a variable has no value, or not yet. What is missing is said in the kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("{} {name:?} not found", match kind { ObjectKind::ConfigMap => "configmap", ObjectKind::Secret => "secret" })]
    NoObject {
        /// Its kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// The object has no such key.
    #[error("couldn't find key {key} in {kind:?} {object}")]
    NoKey {
        /// The key.
        key: String,
        /// The object's kind.
        kind: ObjectKind,
        /// Its namespace and name.
        object: String,
    },
    /// The value cannot be that of a variable. What it is, is not told.
    #[error("the value of key {key} in {kind:?} {object} is no text without NUL")]
    NoText {
        /// The key.
        key: String,
        /// The object's kind.
        kind: ObjectKind,
        /// Its namespace and name.
        object: String,
    },
    /// There is no such file.
    #[error("couldn't parse env file {path:?} of volume {volume:?}: there is none", path = .0.path, volume = .0.volume)]
    NoFile(EnvFile),
    /// The file is none of variables.
    #[error("couldn't parse env file {path:?} of volume {volume:?}: {why}", path = file.path, volume = file.volume)]
    BadFile {
        /// The file.
        file: EnvFile,
        /// What is wrong with it.
        why: String,
    },
    /// The file has no such variable, or an empty one.
    #[error("environment variable key {key:?} not found in file {path:?}", path = file.path)]
    NotInFile {
        /// The variable's name in the file.
        key: String,
        /// The file.
        file: EnvFile,
    },
    /// A resource of a container that the pod does not have.
    #[error(transparent)]
    NoContainer(#[from] NoSuchContainer),
}

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

/// The variables of a container with their values expanded: those of `envFrom`, then those of `env`. A value may refer to
/// variables before its own; a later variable of the same name replaces the earlier one. What comes from elsewhere is not
/// expanded, and the image's own variables cannot be referred to, as in Kubernetes.
pub fn resolve(container: &ContainerSpec, sources: Sources<'_>) -> Result<Variables, Error> {
    let mut variables = Variables::default();
    for from in &container.env_from {
        for (key, value) in all_of(from, sources)? {
            variables.set(format!("{}{key}", from.prefix), value);
        }
    }
    for var in &container.env {
        let value = match &var.value_from {
            None => Some(expand(&var.value, &|name| variables.get(name).map(str::to_owned))),
            Some(source) => value_of(source, container, sources)?,
        };
        if let Some(value) = value {
            variables.set(&var.name, value);
        }
    }
    Ok(variables)
}

/// Every key of an object with its text; nothing for one that is optional and absent.
fn all_of(from: &EnvFrom, Sources { pod, objects, .. }: Sources<'_>) -> Result<Vec<(String, String)>, Error> {
    let namespace = &pod.key.namespace;
    let values: Option<Vec<(&String, &[u8])>> = match from.kind {
        ObjectKind::ConfigMap => objects
            .config_map(namespace, &from.name)
            .map(|map| map.data.iter().map(|(key, text)| (key, text.as_bytes())).collect()),
        ObjectKind::Secret => objects
            .secret(namespace, &from.name)
            .map(|secret| secret.data.iter().map(|(key, bytes)| (key, bytes.as_slice())).collect()),
    };
    match values {
        Some(values) => values
            .into_iter()
            .map(|(key, bytes)| Ok((key.clone(), text(bytes, key, from.kind, namespace, &from.name)?)))
            .collect(),
        None if from.optional => Ok(Vec::new()),
        None => Err(Error::NoObject { kind: from.kind, name: from.name.clone() }),
    }
}

/// The value, or nothing where it is optional and absent.
fn value_of(
    source: &ValueSource,
    container: &ContainerSpec,
    sources: Sources<'_>,
) -> Result<Option<String>, Error> {
    let Sources { pod, objects, facts, files } = sources;
    let namespace = &pod.key.namespace;
    match source {
        ValueSource::Field(selector) => Ok(Some(downward::field(pod, selector, facts))),
        ValueSource::Resource(selector) => {
            Ok(Some(downward::resource(pod, Some(container), selector, facts)?))
        }
        ValueSource::ConfigMapKey(wanted) => {
            let object = objects.config_map(namespace, &wanted.name);
            let value = object.map(|map| map.data.get(&wanted.key).map(String::as_bytes));
            value_of_key(value, wanted, ObjectKind::ConfigMap, namespace)
        }
        ValueSource::SecretKey(wanted) => {
            let object = objects.secret(namespace, &wanted.name);
            let value = object.map(|secret| secret.data.get(&wanted.key).map(Vec::as_slice));
            value_of_key(value, wanted, ObjectKind::Secret, namespace)
        }
        ValueSource::FileKey(wanted) => value_of_file(wanted, files),
    }
}

/// An empty value counts as none, as with the kubelet.
fn value_of_file(wanted: &FileKeySelector, files: &Files) -> Result<Option<String>, Error> {
    let FileKeySelector { file, key, optional } = wanted;
    let bad = |why: String| Error::BadFile { file: file.clone(), why };
    let Some(bytes) = files.get(file) else {
        return if *optional { Ok(None) } else { Err(Error::NoFile(file.clone())) };
    };
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| bad("it is no text without NUL".to_owned()))?;
    match env_file::value(text, key).map_err(|error| bad(error.to_string()))? {
        None if !optional => Err(Error::NotInFile { key: key.clone(), file: file.clone() }),
        found => Ok(found),
    }
}

/// `found` is nothing where the object is missing, and nothing inside where its key is.
fn value_of_key(
    found: Option<Option<&[u8]>>,
    wanted: &KeySelector,
    kind: ObjectKind,
    namespace: &str,
) -> Result<Option<String>, Error> {
    let KeySelector { name, key, optional } = wanted;
    match found {
        Some(Some(bytes)) => text(bytes, key, kind, namespace, name).map(Some),
        _ if *optional => Ok(None),
        None => Err(Error::NoObject { kind, name: name.clone() }),
        Some(None) => Err(Error::NoKey { key: key.clone(), kind, object: format!("{namespace}/{name}") }),
    }
}

fn text(bytes: &[u8], key: &str, kind: ObjectKind, namespace: &str, name: &str) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.map(str::to_owned).ok_or_else(|| Error::NoText {
        key: key.to_owned(),
        kind,
        object: format!("{namespace}/{name}"),
    })
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
    env: &Variables,
) -> Vec<String> {
    let expanded = |words: &[String]| -> Vec<String> {
        words.iter().map(|word| expand(word, &|name| env.get(name).map(str::to_owned))).collect()
    };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    match (command.is_empty(), args.is_empty()) {
        (true, true) => [entrypoint, cmd].concat(),
        (true, false) => [entrypoint, &args].concat(),
        (false, _) => [command, args].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::downward::{Bound, FieldSelector, ResourceSelector};
    use crate::pod::objects::{ConfigMap, ObjectKey, Secret};
    use crate::pod::spec::tests::env_var as var;
    use crate::pod::spec::{EnvVar, RestartPolicy};
    use crate::runtime::fixture;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn objects() -> Objects {
        let key = |name: &str| ObjectKey { namespace: "default".to_owned(), name: name.to_owned() };
        let data = [("colour", "blue"), ("size", "$(HOST)")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let binary_data = [("blob".to_owned(), b"x".to_vec())].into();
        let map = ConfigMap { data: data.into(), binary_data, immutable: false };
        let secret = |value: &[u8]| Secret {
            data: [("password".to_owned(), value.to_vec())].into(),
            ..Secret::default()
        };
        Objects {
            config_maps: [(key("settings"), map)].into(),
            secrets: [
                (key("login"), secret(b"old")),
                (key("bytes"), secret(b"\xff")),
                (key("nul"), secret(b"a\0b")),
            ]
            .into(),
        }
    }

    /// `NAME=value` of all, in order, or the error.
    fn resolved(container: &ContainerSpec) -> String {
        let pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
        let facts = Facts { pod_ips: vec!["10.85.0.2".to_owned()], ..Facts::default() };
        let file = |path: &str, bytes: &[u8]| (env_file(path), bytes.to_vec());
        let files = Files::from([
            file("good", b"A='a'\nEMPTY=''\nREF='$(HOST)'\n"),
            file("bad", b"A=a\n"),
            file("nul", b"A='a'\nB='\0'\n"),
            file("bytes", b"A='\xff'\n"),
        ]);
        match resolve(container, Sources { pod: &pod, objects: &objects(), facts: &facts, files: &files }) {
            Ok(all) => {
                all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    fn env_file(path: &str) -> EnvFile {
        EnvFile { volume: "v".to_owned(), path: path.to_owned() }
    }

    fn from(kind: ObjectKind, name: &str, prefix: &str, optional: bool) -> EnvFrom {
        EnvFrom { prefix: prefix.to_owned(), kind, name: name.to_owned(), optional }
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
        let env = vec![
            var("EARLY", "$(LATE)"),
            var("HOST", "db"),
            var("LATE", "late"),
            var("URL", "http://$(HOST)/$(LATE)"),
            var("HOST", "db2.$(HOST)"),
        ];
        let container = ContainerSpec { env, ..crate::pod::spec::tests::container("c") };
        assert_eq!(resolved(&container), "EARLY=$(LATE) HOST=db2.db LATE=late URL=http://db/late");
    }

    #[test]
    fn values_come_from_objects_and_from_the_pod_itself() {
        use ValueSource::*;
        let key = |name: &str, key: &str, optional: bool| KeySelector {
            name: name.to_owned(),
            key: key.to_owned(),
            optional,
        };
        let file = |path: &str, key: &str, optional: bool| {
            FileKey(FileKeySelector { file: env_file(path), key: key.to_owned(), optional })
        };
        let cpu = ResourceSelector {
            container: None,
            bound: Bound::Request,
            resource: downward::Resource::Cpu,
            divisor: 1,
        };
        let other = ResourceSelector { container: Some("nobody".parse().unwrap()), ..cpu.clone() };
        for (source, expected) in [
            (Field(FieldSelector::Name), "before=$(V) V=web after=web"),
            (Field(FieldSelector::PodIp), "before=$(V) V=10.85.0.2 after=10.85.0.2"),
            (Resource(cpu), "before=$(V) V=0 after=0"),
            (Resource(other), "container nobody not found"),
            (ConfigMapKey(key("settings", "colour", false)), "before=$(V) V=blue after=blue"),
            (ConfigMapKey(key("settings", "size", false)), "before=$(V) V=$(HOST) after=$(HOST)"),
            (
                ConfigMapKey(key("settings", "blob", false)),
                "couldn't find key blob in ConfigMap default/settings",
            ),
            (ConfigMapKey(key("settings", "x", true)), "before=$(V) after=$(V)"),
            (ConfigMapKey(key("none", "x", false)), "configmap \"none\" not found"),
            (ConfigMapKey(key("none", "x", true)), "before=$(V) after=$(V)"),
            (SecretKey(key("login", "password", false)), "before=$(V) V=old after=old"),
            (SecretKey(key("login", "x", false)), "couldn't find key x in Secret default/login"),
            (SecretKey(key("none", "x", false)), "secret \"none\" not found"),
            (
                SecretKey(key("bytes", "password", false)),
                "the value of key password in Secret default/bytes is no text without NUL",
            ),
            (
                SecretKey(key("nul", "password", false)),
                "the value of key password in Secret default/nul is no text without NUL",
            ),
            (file("good", "A", false), "before=$(V) V=a after=a"),
            (file("good", "REF", false), "before=$(V) V=$(HOST) after=$(HOST)"),
            (file("good", "B", true), "before=$(V) after=$(V)"),
            (file("good", "B", false), "environment variable key \"B\" not found in file \"good\""),
            (file("good", "EMPTY", true), "before=$(V) after=$(V)"),
            (file("good", "EMPTY", false), "environment variable key \"EMPTY\" not found in file \"good\""),
            (file("none", "A", true), "before=$(V) after=$(V)"),
            (file("none", "A", false), "couldn't parse env file \"none\" of volume \"v\": there is none"),
            (
                file("bad", "A", true),
                "couldn't parse env file \"bad\" of volume \"v\": invalid environment variable format at line 1: \
                 value must be enclosed in single quotes",
            ),
            (
                file("nul", "A", false),
                "couldn't parse env file \"nul\" of volume \"v\": it is no text without NUL",
            ),
            (
                file("bytes", "A", false),
                "couldn't parse env file \"bytes\" of volume \"v\": it is no text without NUL",
            ),
        ] {
            let own = EnvVar { value_from: Some(source.clone()), ..var("V", "") };
            let env = vec![var("before", "$(V)"), own, var("after", "$(V)")];
            let container = ContainerSpec { env, ..crate::pod::spec::tests::container("a") };
            assert_eq!(resolved(&container), expected, "{source:?}");
        }
    }

    #[test]
    fn all_of_an_object_comes_before_single_variables() {
        use ObjectKind::*;
        let both = vec![from(ConfigMap, "settings", "", false), from(Secret, "login", "DB_", false)];
        for (env_from, env, expected) in [
            (both, vec![], "colour=blue size=$(HOST) DB_password=old"),
            (
                vec![from(ConfigMap, "settings", "", false)],
                vec![var("colour", "not $(colour)")],
                "colour=not blue size=$(HOST)",
            ),
            (
                vec![from(ConfigMap, "none", "", true), from(Secret, "none", "", true)],
                vec![var("A", "a")],
                "A=a",
            ),
            (vec![from(ConfigMap, "none", "", false)], vec![], "configmap \"none\" not found"),
            (vec![from(Secret, "none", "", false)], vec![], "secret \"none\" not found"),
            (
                vec![from(Secret, "bytes", "", false)],
                vec![],
                "the value of key password in Secret default/bytes is no text without NUL",
            ),
        ] {
            let container = ContainerSpec { env_from, env, ..crate::pod::spec::tests::container("a") };
            assert_eq!(resolved(&container), expected);
        }
    }

    #[test]
    fn command_and_args_combine_with_the_image_as_in_kubernetes() {
        let mut env = Variables::default();
        env.set("WHO", "you");
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
        assert!(argv(&nothing, &[], &[], &Variables::default()).is_empty());
    }
}
