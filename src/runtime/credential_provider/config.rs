//! A CredentialProviderConfig (`kubelet.config.k8s.io`, v1 and before): read strictly, every problem with its place. Pure.
//!
//! The rules and their words are the kubelet's (`pkg/credentialprovider/plugin/config.go`).

use std::time::Duration;

use jiff::SignedDuration;

use super::protocol::API_VERSIONS;
use crate::pod::problem::{Position, Problems};
use crate::pod::report::Report;
use crate::pod::yaml::{self, Node, Value};

/// What the file is.
const KIND: &str = "CredentialProviderConfig";

/// Group and version of the file.
const VERSIONS: [&str; 3] =
    ["kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v1alpha1", "kubelet.config.k8s.io/v1beta1"];

/// One plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Provider {
    /// The name of its program.
    pub(super) name: String,
    /// It is asked for repositories that one of these is like.
    pub(super) match_images: Vec<String>,
    /// How long its answers hold when they do not say it themselves.
    pub(super) default_cache_duration: Duration,
    /// Group and version of what it is asked and what it answers.
    pub(super) api_version: String,
    /// The arguments of its program.
    pub(super) args: Vec<String>,
    /// What its program has in its environment beside the agent's own.
    pub(super) env: Vec<(String, String)>,
}

/// Reads a file, YAML or JSON, or says everything that is wrong with it. `file` is the name that the problems give.
pub(super) fn read(bytes: &[u8], file: &str) -> Result<Vec<Provider>, Problems> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problems::of_file(file, "the file is not UTF-8"))?;
    let (documents, flaws) = yaml::parse(text);
    let mut reading = Reading { report: Report::new(file) };
    flaws.into_iter().for_each(|flaw| reading.report.add_flaw(flaw));
    let mut providers = Vec::new();
    match documents.as_slice() {
        [document] => providers = reading.document(document),
        // Then the flaws say what there is instead.
        [] => {}
        [_, second, ..] => {
            reading.report.add(
                second.position,
                String::new(),
                "there may be one document in the file".to_owned(),
            );
        }
    }
    reading.report.finish()?;
    if documents.is_empty() {
        return Err(Problems::of_file(file, format!("no {KIND} in the file")));
    }
    Ok(providers)
}

struct Reading<'f> {
    report: Report<'f>,
}

impl Reading<'_> {
    fn document(&mut self, document: &Node) -> Vec<Provider> {
        let (mut version, mut kind, mut list) = (None, None, None);
        for (key, position, node) in self.fields(document, "") {
            match key {
                "apiVersion" => version = self.text(node, "apiVersion"),
                "kind" => kind = self.text(node, "kind"),
                "providers" => list = self.elements(node, "providers"),
                other => self.unknown(position, "", other),
            }
        }
        for (field, found, supported) in [("apiVersion", version, &VERSIONS[..]), ("kind", kind, &[KIND][..])]
        {
            match found {
                None => self.problem(document.position, field, "Required value"),
                Some(found) if supported.contains(&found.as_str()) => {}
                Some(found) => self.unsupported(document.position, field, &found, supported),
            }
        }
        let list = list.unwrap_or_default();
        if list.is_empty() {
            let reason = "Required value: at least 1 item in plugins is required";
            self.problem(document.position, "providers", reason);
        }
        list.iter().enumerate().map(|(at, node)| self.provider(&format!("providers[{at}]"), node)).collect()
    }

    fn provider(&mut self, path: &str, node: &Node) -> Provider {
        let mut provider = Provider::default();
        let mut cache_duration = None;
        for (key, position, node) in self.fields(node, path) {
            let field = format!("{path}.{key}");
            match key {
                "name" => provider.name = self.name(node, &field),
                "matchImages" => provider.match_images = self.patterns(node, &field),
                "defaultCacheDuration" => cache_duration = Some(self.duration(node, &field)),
                "apiVersion" => provider.api_version = self.api_version(node, &field),
                "args" => provider.args = self.texts(node, &field),
                "env" => provider.env = self.env(node, &field),
                "tokenAttributes" => {
                    let reason = "not supported by this version of mkubelet: there is nobody who gives it tokens of service accounts";
                    self.problem(position, &field, reason);
                }
                other => self.unknown(position, path, other),
            }
        }
        provider.default_cache_duration = cache_duration.unwrap_or_default();
        for (field, is_missing, reason) in [
            ("name", provider.name.is_empty(), "Required value"),
            ("apiVersion", provider.api_version.is_empty(), "Required value"),
            (
                "matchImages",
                provider.match_images.is_empty(),
                "Required value: at least 1 item in matchImages is required",
            ),
            ("defaultCacheDuration", cache_duration.is_none(), "Required value"),
        ] {
            if is_missing {
                self.problem(node.position, &format!("{path}.{field}"), reason);
            }
        }
        provider
    }

    fn name(&mut self, node: &Node, field: &str) -> String {
        let name = self.text(node, field).unwrap_or_default();
        for (is_wrong, why) in [
            (name.contains('/'), "cannot contain '/'"),
            (name.contains(' '), "cannot contain spaces"),
            (name == ".", "cannot be '.'"),
            (name == "..", "cannot be '..'"),
        ] {
            if is_wrong {
                self.problem(node.position, field, &format!("Invalid value: {name:?}: provider name {why}"));
            }
        }
        name
    }

    fn patterns(&mut self, node: &Node, field: &str) -> Vec<String> {
        let patterns = self.texts(node, field);
        for pattern in &patterns {
            if let Some(why) = no_address(pattern) {
                let reason = format!("Invalid value: {pattern:?}: match image is invalid: {why}");
                self.problem(node.position, field, &reason);
            }
        }
        patterns
    }

    fn api_version(&mut self, node: &Node, field: &str) -> String {
        let version = self.text(node, field).unwrap_or_default();
        if !version.is_empty() && !API_VERSIONS.contains(&version.as_str()) {
            self.unsupported(node.position, field, &version, &API_VERSIONS);
        }
        version
    }

    fn duration(&mut self, node: &Node, field: &str) -> Duration {
        let text = self.text(node, field).unwrap_or_default();
        let span = if text == "0" { Ok(SignedDuration::ZERO) } else { text.parse::<SignedDuration>() };
        let why = match span.map(Duration::try_from) {
            Ok(Ok(duration)) => return duration,
            Ok(Err(_)) => "must be greater than or equal to 0",
            // What is no text was told.
            Err(_) if !matches!(node.value, Value::String(_)) => return Duration::ZERO,
            Err(_) => "must be a time such as 1m30s",
        };
        self.problem(node.position, field, &format!("Invalid value: {text:?}: {why}"));
        Duration::ZERO
    }

    fn env(&mut self, node: &Node, field: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (at, node) in self.elements(node, field).unwrap_or_default().iter().enumerate() {
            let path = format!("{field}[{at}]");
            let (mut name, mut value) = (String::new(), String::new());
            for (key, position, node) in self.fields(node, &path) {
                let text =
                    |reading: &mut Self| reading.text(node, &format!("{path}.{key}")).unwrap_or_default();
                match key {
                    "name" => name = text(self),
                    "value" => value = text(self),
                    other => self.unknown(position, &path, other),
                }
            }
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let reason = format!("Invalid value: {name:?}: no variable of an environment");
                self.problem(node.position, &path, &reason);
            }
            all.push((name, value));
        }
        all
    }

    /// The fields of an object that are not null.
    fn fields<'n>(&mut self, node: &'n Node, path: &str) -> Vec<(&'n str, Position, &'n Node)> {
        if !matches!(node.value, Value::Mapping(_)) {
            self.misfit(node, path, "object");
        }
        let given = node.entries().iter().filter(|entry| entry.value.value != Value::Null);
        given.map(|entry| (entry.key.as_str(), entry.position, &entry.value)).collect()
    }

    fn elements<'n>(&mut self, node: &'n Node, field: &str) -> Option<&'n [Node]> {
        if !matches!(node.value, Value::Sequence(_)) {
            self.misfit(node, field, "array");
        }
        Some(node.elements())
    }

    fn texts(&mut self, node: &Node, field: &str) -> Vec<String> {
        let nodes = self.elements(node, field).unwrap_or_default().iter().enumerate();
        nodes.filter_map(|(at, node)| self.text(node, &format!("{field}[{at}]"))).collect()
    }

    fn text(&mut self, node: &Node, field: &str) -> Option<String> {
        let Value::String(text) = &node.value else {
            self.misfit(node, field, "string");
            return None;
        };
        Some(text.clone())
    }

    fn misfit(&mut self, node: &Node, field: &str, wanted: &str) {
        self.problem(node.position, field, &format!("expected {wanted}, got {}", node.value.kind()));
    }

    fn unknown(&mut self, position: Position, path: &str, key: &str) {
        let field = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        self.problem(position, &field, &format!("unknown field {key:?}"));
    }

    fn unsupported(&mut self, position: Position, field: &str, value: &str, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let supported = supported.join(", ");
        let reason = format!("Unsupported value: {value:?}: supported values: {supported}");
        self.problem(position, field, &reason);
    }

    fn problem(&mut self, position: Position, field: &str, reason: &str) {
        self.report.add(position, field.to_owned(), reason.to_owned());
    }
}

/// Why a pattern is not a host, with a port and a path where need be.
fn no_address(pattern: &str) -> Option<String> {
    let authority = pattern.split('/').next().unwrap_or_default();
    let refused = |c: &char| c.is_whitespace() || c.is_control() || "\"<>\\^`{|}%".contains(*c);
    if let Some(wrong) = authority.chars().find(refused) {
        return Some(format!("invalid character {wrong:?} in host name"));
    }
    let (_, port) = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?;
    let is_port = port.chars().all(|c| c.is_ascii_digit());
    (!is_port).then(|| format!("invalid port {:?} after host", format!(":{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: ecr
  apiVersion: credentialprovider.kubelet.k8s.io/v1beta1
  matchImages: ["*.dkr.ecr.*.amazonaws.com", "a.example:5000/team"]
  defaultCacheDuration: 12h
  args: [get, --quiet]
  env: [{name: AWS_PROFILE, value: me}, {name: EMPTY}]
- {"name": "b", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "matchImages": ["b"], "defaultCacheDuration": "0"}
"#;

    fn problems(text: &str) -> String {
        read(text.as_bytes(), "c.yaml").unwrap_err().to_string()
    }

    #[test]
    fn every_field_is_read_in_each_version_of_the_file() {
        for version in VERSIONS {
            let text = WHOLE.replace(VERSIONS[0], version);
            let [ecr, b] = read(text.as_bytes(), "c.yaml").unwrap().try_into().unwrap();
            assert_eq!(
                ecr,
                Provider {
                    name: "ecr".into(),
                    match_images: vec!["*.dkr.ecr.*.amazonaws.com".into(), "a.example:5000/team".into()],
                    default_cache_duration: Duration::from_secs(12 * 3600),
                    api_version: "credentialprovider.kubelet.k8s.io/v1beta1".into(),
                    args: vec!["get".into(), "--quiet".into()],
                    env: vec![("AWS_PROFILE".into(), "me".into()), ("EMPTY".into(), String::new())],
                }
            );
            assert_eq!(b.default_cache_duration, Duration::ZERO);
        }
    }

    #[test]
    fn each_rule_is_told_in_the_kubelets_words() {
        let one = "  \"name\": \"b\"";
        assert!(WHOLE.contains(one.trim()));
        for (old, new, expected) in [
            (
                "name: ecr",
                "name: a/b",
                "providers[0].name: Invalid value: \"a/b\": provider name cannot contain '/'",
            ),
            (
                "name: ecr",
                "name: a b",
                "providers[0].name: Invalid value: \"a b\": provider name cannot contain spaces",
            ),
            (
                "name: ecr",
                "name: '..'",
                "providers[0].name: Invalid value: \"..\": provider name cannot be '..'",
            ),
            ("name: ecr", "name: ''", "providers[0].name: Required value"),
            (
                "io/v1beta1\n  match",
                "io/v2\n  match",
                "providers[0].apiVersion: Unsupported value: \"credentialprovider.kubelet.k8s.io/v2\": supported values: \"credentialprovider.kubelet.k8s.io/v1\", \"credentialprovider.kubelet.k8s.io/v1alpha1\", \"credentialprovider.kubelet.k8s.io/v1beta1\"",
            ),
            (
                "[\"b\"]",
                "[]",
                "providers[1].matchImages: Required value: at least 1 item in matchImages is required",
            ),
            (
                "[\"b\"]",
                "[\"b:x\"]",
                "providers[1].matchImages: Invalid value: \"b:x\": match image is invalid: invalid port \":x\" after host",
            ),
            (
                "[\"b\"]",
                "[\"b c\"]",
                "providers[1].matchImages: Invalid value: \"b c\": match image is invalid: invalid character ' ' in host name",
            ),
            ("  defaultCacheDuration: 12h\n", "", "providers[0].defaultCacheDuration: Required value"),
            (
                "12h",
                "-1m",
                "providers[0].defaultCacheDuration: Invalid value: \"-1m\": must be greater than or equal to 0",
            ),
            (
                "12h",
                "soon",
                "providers[0].defaultCacheDuration: Invalid value: \"soon\": must be a time such as 1m30s",
            ),
            ("12h", "12", "providers[0].defaultCacheDuration: expected string, got number"),
            ("args: [get", "args: [1", "providers[0].args[0]: expected string, got number"),
            (
                "{name: EMPTY}",
                "{name: A=B}",
                "providers[0].env[1]: Invalid value: \"A=B\": no variable of an environment",
            ),
            ("value: me", "valu: me", "providers[0].env[0].valu: unknown field \"valu\""),
            ("args:", "argv:", "providers[0].argv: unknown field \"argv\""),
            (
                "  args:",
                "  tokenAttributes: {}\n  args:",
                "providers[0].tokenAttributes: not supported by this version of mkubelet",
            ),
            (
                "kind: Cred",
                "kind: cred",
                "kind: Unsupported value: \"credentialProviderConfig\": supported values: \"CredentialProviderConfig\"",
            ),
        ] {
            assert!(WHOLE.contains(old), "{old}");
            let told = problems(&WHOLE.replacen(old, new, 1));
            assert!(told.contains(expected) && told.lines().count() == 1, "{told}\n{expected}");
            assert!(told.starts_with("c.yaml:"), "{told}");
        }
    }

    #[test]
    fn a_file_without_plugins_is_refused() {
        let head = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n";
        for text in [head.to_owned(), format!("{head}providers: []"), format!("{head}providers:")] {
            let told = problems(&text);
            assert_eq!(told, "c.yaml:1:1: providers: Required value: at least 1 item in plugins is required");
        }
        assert_eq!(problems(""), "c.yaml: no CredentialProviderConfig in the file");
        assert!(problems("[]").contains("expected object, got array"));
    }
}
