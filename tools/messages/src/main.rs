//! Prints the protobuf messages of the kinds that mkubelet reads, and of everything in them, as a table: what each field is numbered, what it is
//! called in JSON, and what it holds.
//!
//! The table is made of the tags of Kubernetes' Go types, which `generated.proto` is made of, too: they alone say what JSON leaves out and what
//! is written in the place of its owner. Arguments: checkouts of `kubernetes/api` and of `kubernetes/apimachinery`, and the version of both.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

/// A kind joins the table here: its API version (`*`: any), its name, its message.
const KINDS: [(&str, &str, &str); 13] = [
    ("*", "DeleteOptions", "meta.DeleteOptions"),
    ("authentication.k8s.io/v1", "SelfSubjectReview", "authentication.SelfSubjectReview"),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", "authorization.SelfSubjectAccessReview"),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview", "authorization.SelfSubjectRulesReview"),
    ("events.k8s.io/v1", "Event", "events.Event"),
    ("policy/v1", "Eviction", "policy.Eviction"),
    ("v1", "Binding", "core.Binding"),
    ("v1", "ConfigMap", "core.ConfigMap"),
    ("v1", "Event", "core.Event"),
    ("v1", "Namespace", "core.Namespace"),
    ("v1", "Node", "core.Node"),
    ("v1", "Pod", "core.Pod"),
    ("v1", "Secret", "core.Secret"),
];

/// Types that are no struct, or are written in JSON as none.
const SCALARS: [(&str, &str); 16] = [
    ("[]byte", "bytes"),
    ("bool", "truth"),
    ("int32", "number"),
    ("int64", "number"),
    ("string", "text"),
    ("authentication.ExtraValue", "texts"),
    ("authorization.ExtraValue", "texts"),
    ("intstr.IntOrString", "int-or-string"),
    ("meta.FieldsV1", "json"),
    ("meta.MicroTime", "microtime"),
    ("meta.Time", "time"),
    ("resource.Quantity", "quantity"),
    ("runtime.RawExtension", "json"),
    ("types.UID", "text"),
    ("uint32", "number"),
    ("uint64", "number"),
];

/// What Go declares: the fields of structs, and what other types are.
#[derive(Default)]
struct Types {
    structs: BTreeMap<String, Vec<Field>>,
    others: BTreeMap<String, String>,
}

struct Field {
    number: u32,
    /// Empty: its own fields stand in its place.
    name: String,
    holds: String,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [api, machinery, version] = arguments.as_slice() else {
        panic!("usage: messages API APIMACHINERY VERSION");
    };
    let mut types = Types::default();
    for package in ["authentication", "authorization", "core", "events", "policy"] {
        types.read(package, &Path::new(api).join(package).join("v1/types.go"));
    }
    types.read("meta", &Path::new(machinery).join("pkg/apis/meta/v1/types.go"));

    println!("# Protobuf messages of Kubernetes: number, name in JSON, and what it holds, of each field.");
    println!(
        "# Of the Go types of k8s.io/api and k8s.io/apimachinery {version}; written by `make messages`, not by hand."
    );
    println!(
        "# `?` may be absent, `[]` is a list, `{{}}` a map by texts; `-` instead of a name: its fields stand in its place."
    );
    let mut needed: Vec<String> = Vec::new();
    println!();
    for (version, kind, message) in KINDS {
        println!("kind {version} {kind} {message}");
        needed.push(message.to_owned());
    }
    let mut told = BTreeMap::new();
    while let Some(name) = needed.pop() {
        if told.contains_key(&name) {
            continue;
        }
        let fields = types.structs.get(&name).unwrap_or_else(|| panic!("no struct {name}"));
        let mut text = String::new();
        for Field { number, name, holds } in fields {
            let holds = types.resolved(holds);
            let message = holds.trim_end_matches(['?', '[', ']', '{', '}']);
            if message.contains('.') {
                needed.push(message.to_owned());
            }
            let name = if name.is_empty() { "-" } else { name };
            text += &format!("{number} {name} {holds}\n");
        }
        told.insert(name, text);
    }
    for (name, fields) in told {
        print!("\nmessage {name}\n{fields}");
    }
}

impl Types {
    /// Reads a file of a package.
    fn read(&mut self, package: &str, path: &Path) {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(declared) = line.strip_prefix("type ") else { continue };
            let (name, is) = declared.split_once(' ').expect("a type and what it is");
            let name = format!("{package}.{name}");
            if is.ends_with('{') {
                let fields =
                    lines.by_ref().take_while(|line| *line != "}").filter_map(|line| field(package, line));
                self.structs.insert(name, fields.collect());
            } else {
                let is = is.split(" //").next().unwrap_or(is);
                self.others.insert(name, qualified(package, is));
            }
        }
    }

    /// What a type of Go is in the table.
    fn resolved(&self, holds: &str) -> String {
        if let Some((_, scalar)) = SCALARS.iter().find(|(name, _)| *name == holds) {
            return (*scalar).to_owned();
        }
        if let Some(inner) = holds.strip_prefix('*') {
            return format!("{}?", self.resolved(inner));
        }
        if let Some(inner) = holds.strip_prefix("[]") {
            return format!("{}[]", self.resolved(inner));
        }
        if let Some((_, inner)) = holds.strip_prefix("map[").and_then(|map| map.split_once(']')) {
            return format!("{}{{}}", self.resolved(inner));
        }
        match self.others.get(holds) {
            Some(other) => self.resolved(other),
            None => holds.to_owned(),
        }
    }
}

/// A line of a struct; none when it is no field, or one that protobuf does not have.
fn field(package: &str, line: &str) -> Option<Field> {
    let line = line.trim();
    if line.starts_with("//") {
        return None;
    }
    let (declared, tags) = line.split_once('`')?;
    let tag = |name: &str| tags.split_once(&format!("{name}:\""))?.1.split('"').next();
    let number = tag("protobuf")?.split(',').nth(1)?.parse().ok()?;
    let name = tag("json").unwrap_or_default().split(',').next().unwrap_or_default();
    let holds = declared.split_whitespace().last()?;
    Some(Field { number, name: name.to_owned(), holds: qualified(package, holds) })
}

/// A type with its package, as the table names it.
fn qualified(package: &str, holds: &str) -> String {
    for prefix in ["*", "[]"] {
        if holds == "[]byte" {
            return holds.to_owned();
        }
        if let Some(inner) = holds.strip_prefix(prefix) {
            return format!("{prefix}{}", qualified(package, inner));
        }
    }
    if let Some((key, inner)) = holds.strip_prefix("map[").and_then(|map| map.split_once(']')) {
        return format!("map[{key}]{}", qualified(package, inner));
    }
    let is_builtin = holds.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let (of, name) = holds.split_once('.').unwrap_or((package, holds));
    match of {
        _ if is_builtin => holds.to_owned(),
        "metav1" => format!("meta.{name}"),
        "v1" | "corev1" => format!("core.{name}"),
        of => format!("{of}.{name}"),
    }
}
