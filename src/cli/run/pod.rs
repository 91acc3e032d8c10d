//! The pod that `mkubelet run NAME --image=IMAGE` asks for: what kubectl's generator `run-pod/v1` makes. Pure.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// What the pod is to be like.
#[derive(Debug, Default, Args)]
pub(super) struct Options {
    /// Run a pod with this image, by the agent.
    #[arg(long)]
    image: Option<String>,
    /// When the agent looks for another version of the image.
    #[arg(long, value_name = "POLICY", requires = "image")]
    image_pull_policy: Option<String>,
    /// When the container is restarted.
    #[arg(long, value_name = "POLICY", default_value = "Always", ignore_case = false)]
    pub(super) restart: Restart,
    /// A variable of the container's environment, NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE", requires = "image")]
    env: Vec<String>,
    /// A port that the container serves.
    #[arg(long, requires = "image")]
    port: Option<String>,
    /// Make a Service for the port, too, where the API has Services.
    #[arg(long, requires = "image")]
    pub(super) expose: bool,
    /// Labels of the pod: `app=web,tier=front`; else `run=NAME`.
    #[arg(short, long, value_name = "KEY=VALUE,...", value_delimiter = ',', requires = "image")]
    labels: Vec<String>,
    /// An annotation of the pod.
    #[arg(long, value_name = "KEY=VALUE", requires = "image")]
    annotations: Vec<String>,
    /// What follows -- is the program with its arguments, not arguments alone.
    #[arg(long, requires = "image")]
    command: bool,
    /// A privileged container.
    #[arg(long, requires = "image")]
    privileged: bool,
    /// Keep the container's standard input open, and attach to it.
    #[arg(short = 'i', long, requires = "image")]
    pub(super) stdin: bool,
    /// Give the container a terminal.
    #[arg(short, long, requires = "image")]
    pub(super) tty: bool,
    /// Leave standard input open after the first client has left.
    #[arg(long, requires = "image")]
    leave_stdin_open: bool,
}

/// `--restart`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Restart {
    #[default]
    #[value(name = "Always")]
    Always,
    #[value(name = "OnFailure")]
    OnFailure,
    #[value(name = "Never")]
    Never,
}

impl Options {
    /// Whether there is an image at all.
    pub(super) fn is_given(&self) -> bool {
        self.image.is_some()
    }

    /// Whether the end of the container is worth waiting for.
    pub(super) fn ends(&self) -> bool {
        self.restart != Restart::Always && !self.leave_stdin_open
    }

    /// The pod. Errors are kubectl's.
    pub(super) fn pod(&self, name: &str, words: &[String]) -> anyhow::Result<Value> {
        anyhow::ensure!(!self.expose || self.port.is_some(), "--port must be set when exposing a service");
        let mut container = json!({"name": name, "image": self.image, "resources": {}});
        if !words.is_empty() {
            container[if self.command { "command" } else { "args" }] = json!(words);
        }
        if !self.env.is_empty() {
            container["env"] = self.env.iter().map(|pair| variable(pair)).collect::<anyhow::Result<_>>()?;
        }
        if let Some(port) = &self.port {
            let number = port
                .parse::<u16>()
                .map_err(|_| anyhow::anyhow!("strconv.Atoi: parsing {port:?}: invalid syntax"))?;
            container["ports"] = json!([{"containerPort": number}]);
        }
        if let Some(policy) = &self.image_pull_policy {
            container["imagePullPolicy"] = json!(policy);
        }
        if self.privileged {
            container["securityContext"] = json!({"privileged": true});
        }
        for (field, is_set) in
            [("stdin", self.stdin), ("stdinOnce", self.stdin && !self.leave_stdin_open), ("tty", self.tty)]
        {
            if is_set {
                container[field] = true.into();
            }
        }
        let restart = match self.restart {
            Restart::Always => "Always",
            Restart::OnFailure => "OnFailure",
            Restart::Never => "Never",
        };
        let labels = match self.labels.as_slice() {
            [] => json!({"run": name}),
            pairs => map("label", pairs)?,
        };
        let mut metadata = json!({"name": name, "creationTimestamp": null, "labels": labels});
        if !self.annotations.is_empty() {
            metadata["annotations"] = map("annotation", &self.annotations)?;
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [container], "restartPolicy": restart, "dnsPolicy": "ClusterFirst"},
            "status": {},
        }))
    }

    /// The Service of `--expose`, for a pod that these options made.
    pub(super) fn service(&self, pod: &Value) -> Value {
        let port = &pod["spec"]["containers"][0]["ports"][0]["containerPort"];
        let mut metadata = json!({"name": pod["metadata"]["name"]});
        if !self.labels.is_empty() {
            metadata["labels"] = pod["metadata"]["labels"].clone();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "ports": [{"port": port, "protocol": "TCP", "targetPort": port}],
                "selector": pod["metadata"]["labels"],
            },
            "status": {"loadBalancer": {}},
        })
    }
}

fn variable(pair: &str) -> anyhow::Result<Value> {
    let (name, value) = pair
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| anyhow::anyhow!("invalid env: {pair}"))?;
    Ok(json!({"name": name, "value": value}))
}

fn map(what: &str, pairs: &[String]) -> anyhow::Result<Value> {
    let pair = |pair: &String| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), Value::from(value))),
        _ => Err(anyhow::anyhow!("unexpected {what} spec: {pair}")),
    };
    Ok(Value::Object(pairs.iter().map(pair).collect::<anyhow::Result<_>>()?))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::cli::client::fake::parsed;
    use crate::cli::client::output;

    fn pod(line: &str, words: &[&str]) -> anyhow::Result<Value> {
        let options: Options = parsed(line.split(' ')).unwrap();
        options.pod("x", &words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_pod_is_the_one_that_kubectl_makes() {
        let made = pod("run --image=i", &["a", "b"]).unwrap();
        // kubectl 1.32: run x --image=i --dry-run=client -o yaml -- a b
        let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  creationTimestamp: null\n  labels:\n    run: x\n  name: x\n\
                        spec:\n  containers:\n  - args:\n    - a\n    - b\n    image: i\n    name: x\n    resources: {}\n  \
                        dnsPolicy: ClusterFirst\n  restartPolicy: Always\nstatus: {}\n";
        assert_eq!(output::yaml(&made), expected);
        let line = "run --image=i --env=A=b --port=80 --labels=a=b,c=d --restart=Never --command --privileged \
                    --image-pull-policy=Never --annotations=k=v -it";
        let made = pod(&line.replace("  ", " "), &["a"]).unwrap();
        assert_eq!(made["metadata"]["labels"], json!({"a": "b", "c": "d"}));
        assert_eq!(made["metadata"]["annotations"], json!({"k": "v"}));
        assert_eq!(
            made["spec"],
            json!({
                "containers": [{
                    "name": "x", "image": "i", "imagePullPolicy": "Never", "command": ["a"],
                    "env": [{"name": "A", "value": "b"}], "ports": [{"containerPort": 80}], "resources": {},
                    "securityContext": {"privileged": true}, "stdin": true, "stdinOnce": true, "tty": true,
                }],
                "restartPolicy": "Never",
                "dnsPolicy": "ClusterFirst",
            })
        );
    }

    #[test]
    fn what_cannot_be_is_told_in_kubectls_words() {
        for (flag, error) in [
            ("--env=A", "invalid env: A"),
            ("--env==b", "invalid env: =b"),
            ("--port=abc", "strconv.Atoi: parsing \"abc\": invalid syntax"),
            ("--labels=a", "unexpected label spec: a"),
            ("--annotations=a", "unexpected annotation spec: a"),
        ] {
            assert_eq!(pod(&format!("run --image=i {flag}"), &[]).unwrap_err().to_string(), error, "{flag}");
        }
    }
}
