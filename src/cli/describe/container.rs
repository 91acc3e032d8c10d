//! The containers of a pod, as `describe` shows them.

use serde_json::Value;

use super::writer::{Writer, fields, flag, list, shown};
use crate::pod::quantity::Quantity;

/// Containers of one kind, with their statuses.
pub(super) fn describe(pod: &Value, title: &str, containers: &Value, statuses: &Value, writer: &mut Writer) {
    writer.line(0, &format!("{title}:"));
    for container in list(containers) {
        let status = list(statuses).iter().find(|status| status["name"] == container["name"]);
        one(pod, container, status, writer);
    }
}

fn one(pod: &Value, container: &Value, status: Option<&Value>, writer: &mut Writer) {
    writer.line(1, &format!("{}:", shown(&container["name"])));
    if let Some(status) = status {
        writer.field_of(2, "Container ID", &status["containerID"]);
    }
    writer.field_of(2, "Image", &container["image"]);
    if let Some(status) = status {
        writer.field_of(2, "Image ID", &status["imageID"]);
    }
    ports("Port", "containerPort", container, writer);
    ports("Host Port", "hostPort", container, writer);
    super::pod::seccomp(&container["securityContext"], 2, writer);
    for (title, field) in [("Command", "command"), ("Args", "args")] {
        words(title, list(&container[field]), writer);
    }
    if let Some(status) = status {
        state("State", &status["state"], writer);
        if status["lastState"]["terminated"].is_object() {
            state("Last State", &status["lastState"], writer);
        }
        writer.field(2, "Ready", if flag(&status["ready"]) { "True" } else { "False" });
        writer.field_of(2, "Restart Count", &status["restartCount"]);
    }
    resources(&container["resources"], 2, writer);
    for (title, field) in
        [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
    {
        if container[field].is_object() {
            writer.field(2, title, probe(&container[field]));
        }
    }
    environment_from(list(&container["envFrom"]), writer);
    environment(pod, container, writer);
    mounts(container, writer);
}

fn ports(title: &str, field: &str, container: &Value, writer: &mut Writer) {
    let port = |port: &Value| {
        let number = port[field].as_i64().unwrap_or(0);
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["name"].as_str() {
            Some(name) => format!("{number}/{protocol} ({name})"),
            None => format!("{number}/{protocol}"),
        }
    };
    let ports: Vec<String> = list(&container["ports"]).iter().map(port).collect();
    match ports.as_slice() {
        [] => writer.field(2, title, "<none>"),
        [one] => writer.field(2, title, one),
        several => writer.field(2, &format!("{title}s"), several.join(", ")),
    }
}

fn words(title: &str, words: &[Value], writer: &mut Writer) {
    if !words.is_empty() {
        writer.line(2, &format!("{title}:"));
    }
    for word in words {
        shown(word).split('\n').for_each(|line| writer.line(3, line));
    }
}

fn state(title: &str, state: &Value, writer: &mut Writer) {
    let (running, waiting, ended) = (&state["running"], &state["waiting"], &state["terminated"]);
    if running.is_object() {
        writer.field(2, title, "Running");
        writer.field(3, "Started", writer.date(&running["startedAt"]));
    } else if ended.is_object() {
        writer.field(2, title, "Terminated");
        for (name, field) in [("Reason", "reason"), ("Message", "message")] {
            if !shown(&ended[field]).is_empty() {
                writer.field_of(3, name, &ended[field]);
            }
        }
        writer.field_of(3, "Exit Code", &ended["exitCode"]);
        if ended["signal"].as_i64().is_some_and(|signal| signal > 0) {
            writer.field_of(3, "Signal", &ended["signal"]);
        }
        writer.field(3, "Started", writer.date(&ended["startedAt"]));
        writer.field(3, "Finished", writer.date(&ended["finishedAt"]));
    } else {
        writer.field(2, title, "Waiting");
        if !shown(&waiting["reason"]).is_empty() {
            writer.field_of(3, "Reason", &waiting["reason"]);
        }
    }
}

/// Limits and requests.
pub(super) fn resources(resources: &Value, depth: usize, writer: &mut Writer) {
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let quantities = fields(&resources[field]);
        if !quantities.is_empty() {
            writer.line(depth, &format!("{title}:"));
        }
        for (name, quantity) in quantities {
            writer.field_of(depth + 1, name, quantity);
        }
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str| probe[field].as_i64().unwrap_or(0);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    let (exec, http, tcp, grpc) = (&probe["exec"], &probe["httpGet"], &probe["tcpSocket"], &probe["grpc"]);
    if exec.is_object() {
        format!("exec {} {attributes}", shown(&exec["command"]))
    } else if http.is_object() {
        let scheme = http["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let (host, port, path) = (shown(&http["host"]), shown(&http["port"]), shown(&http["path"]));
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("http-get {scheme}://{host}:{port}{path} {attributes}")
    } else if tcp.is_object() {
        format!("tcp-socket {}:{} {attributes}", shown(&tcp["host"]), shown(&tcp["port"]))
    } else if grpc.is_object() {
        format!("grpc <pod>:{} {} {attributes}", shown(&grpc["port"]), shown(&grpc["service"]))
    } else {
        format!("unknown {attributes}")
    }
}

fn environment_from(sources: &[Value], writer: &mut Writer) {
    if !sources.is_empty() {
        writer.line(2, "Environment Variables from:");
    }
    for source in sources {
        let (from, reference) = match source["configMapRef"].is_object() {
            true => ("ConfigMap", &source["configMapRef"]),
            false => ("Secret", &source["secretRef"]),
        };
        let prefix = shown(&source["prefix"]);
        let with = if prefix.is_empty() { String::new() } else { format!(" with prefix '{prefix}'") };
        let (name, optional) = (shown(&reference["name"]), flag(&reference["optional"]));
        writer.line(3, &format!("{name}\t{from}{with}\tOptional: {optional}"));
    }
}

fn environment(pod: &Value, container: &Value, writer: &mut Writer) {
    let variables = list(&container["env"]);
    if variables.is_empty() {
        return writer.field(2, "Environment", "<none>");
    }
    writer.line(2, "Environment:");
    for variable in variables {
        let from = &variable["valueFrom"];
        let name = shown(&variable["name"]);
        let optional = |reference: &Value| flag(&reference["optional"]);
        let (field, resource) = (&from["fieldRef"], &from["resourceFieldRef"]);
        let (secret, map) = (&from["secretKeyRef"], &from["configMapKeyRef"]);
        let value = if field.is_object() {
            let path = shown(&field["fieldPath"]);
            let version = field["apiVersion"].as_str().unwrap_or("v1");
            format!("{} ({version}:{path})", field_value(pod, &path))
        } else if resource.is_object() {
            let name = shown(&resource["resource"]);
            format!("{} ({name})", resource_value(container, &name, &resource["divisor"]))
        } else if secret.is_object() {
            let (key, name) = (shown(&secret["key"]), shown(&secret["name"]));
            format!("<set to the key '{key}' in secret '{name}'>\tOptional: {}", optional(secret))
        } else if map.is_object() {
            let (key, name) = (shown(&map["key"]), shown(&map["name"]));
            format!("<set to the key '{key}' of config map '{name}'>\tOptional: {}", optional(map))
        } else {
            shown(&variable["value"]).replace('\n', "\n      \t")
        };
        writer.field(3, &name, value);
    }
}

/// What kubectl can tell of a field that a variable is of: the metadata alone.
fn field_value(pod: &Value, path: &str) -> String {
    let key = path.strip_suffix("']").and_then(|path| path.split_once("['"));
    match (path, key) {
        ("metadata.name" | "metadata.namespace" | "metadata.uid", _) => {
            shown(&pod["metadata"][path.trim_start_matches("metadata.")])
        }
        (_, Some(("metadata.labels", key))) => shown(&pod["metadata"]["labels"][key]),
        (_, Some(("metadata.annotations", key))) => shown(&pod["metadata"]["annotations"][key]),
        _ => String::new(),
    }
}

/// `limits.memory` of the container in units of the divisor, rounded up.
fn resource_value(container: &Value, name: &str, divisor: &Value) -> String {
    let (kind, resource) = name.split_once('.').unwrap_or_default();
    let parse = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
    let milli = |quantity: Option<Quantity>| quantity.map_or(0, Quantity::millis);
    let amount = milli(parse(&container["resources"][kind][resource]));
    let divisor = match milli(parse(divisor)) {
        0 => 1000,
        divisor => divisor,
    };
    match amount.div_ceil(divisor) {
        0 if ["limits.cpu", "limits.memory"].contains(&name) => "node allocatable".to_owned(),
        amount => amount.to_string(),
    }
}

fn mounts(container: &Value, writer: &mut Writer) {
    let mut mounts: Vec<&Value> = list(&container["volumeMounts"]).iter().collect();
    mounts.sort_by_key(|mount| mount["mountPath"].as_str());
    if mounts.is_empty() {
        writer.field(2, "Mounts", "<none>");
    } else {
        writer.line(2, "Mounts:");
    }
    for mount in mounts {
        let access = if flag(&mount["readOnly"]) { "ro" } else { "rw" };
        let part = shown(&mount["subPath"]);
        let part = if part.is_empty() { part } else { format!(",path={part:?}") };
        let (path, name) = (shown(&mount["mountPath"]), shown(&mount["name"]));
        writer.line(3, &format!("{path} from {name} ({access}{part})"));
    }
}
