//! The volumes of a pod, as `describe` shows them.

use serde_json::Value;

use super::writer::{Writer, flag, list, pairs, shown};

pub(super) fn describe(volumes: &[Value], writer: &mut Writer) {
    if volumes.is_empty() {
        return writer.field(0, "Volumes", "<none>");
    }
    writer.line(0, "Volumes:");
    for volume in volumes {
        writer.line(1, &format!("{}:", shown(&volume["name"])));
        let source = volume.as_object().into_iter().flatten().find(|(field, _)| *field != "name");
        match source {
            Some((kind, source)) => one(kind, source, writer),
            None => writer.line(1, "<unknown>"),
        }
    }
}

fn one(kind: &str, source: &Value, writer: &mut Writer) {
    let text = |field: &str| shown(&source[field]);
    let or = |field: &str, none: &str| if source[field].is_null() { none.to_owned() } else { text(field) };
    let is = |field: &str| flag(&source[field]).to_string();
    let (name, what, fields): (&str, &str, Vec<(&str, String)>) = match kind {
        "hostPath" => (
            "HostPath",
            "bare host directory volume",
            vec![("Path", text("path")), ("HostPathType", or("type", "<none>"))],
        ),
        "emptyDir" => (
            "EmptyDir",
            "a temporary directory that shares a pod's lifetime",
            vec![("Medium", text("medium")), ("SizeLimit", or("sizeLimit", "<unset>"))],
        ),
        "secret" => (
            "Secret",
            "a volume populated by a Secret",
            vec![("SecretName", text("secretName")), ("Optional", is("optional"))],
        ),
        "configMap" => (
            "ConfigMap",
            "a volume populated by a ConfigMap",
            vec![("Name", text("name")), ("Optional", is("optional"))],
        ),
        "persistentVolumeClaim" => (
            "PersistentVolumeClaim",
            "a reference to a PersistentVolumeClaim in the same namespace",
            vec![("ClaimName", text("claimName")), ("ReadOnly", is("readOnly"))],
        ),
        "nfs" => (
            "NFS",
            "an NFS mount that lasts the lifetime of a pod",
            vec![("Server", text("server")), ("Path", text("path")), ("ReadOnly", is("readOnly"))],
        ),
        "image" => (
            "Image",
            "a container image or OCI artifact",
            vec![("Reference", text("reference")), ("PullPolicy", text("pullPolicy"))],
        ),
        "csi" => (
            "CSI",
            "a Container Storage Interface (CSI) volume source",
            vec![
                ("Driver", text("driver")),
                ("FSType", text("fsType")),
                ("ReadOnly", is("readOnly")),
                ("VolumeAttributes", pairs(&source["volumeAttributes"], "=").join(",")),
            ],
        ),
        "downwardAPI" => return downward(source, writer),
        "projected" => return projected(source, writer),
        _ => return writer.line(1, "<unknown>"),
    };
    writer.field(2, "Type", format_args!("{name} ({what})"));
    for (field, value) in fields {
        writer.field(2, field, value);
    }
}

fn downward(source: &Value, writer: &mut Writer) {
    writer.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
    writer.line(2, "Items:");
    for item in list(&source["items"]) {
        let field = shown(&item["fieldRef"]["fieldPath"]);
        let from = if field.is_empty() { shown(&item["resourceFieldRef"]["resource"]) } else { field };
        writer.line(3, &format!("{from} -> {}", shown(&item["path"])));
    }
}

fn projected(source: &Value, writer: &mut Writer) {
    writer.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
    for source in list(&source["sources"]) {
        for (kind, name) in [("secret", "SecretName"), ("configMap", "ConfigMapName")] {
            if source[kind].is_object() {
                writer.field_of(2, name, &source[kind]["name"]);
                writer.field(2, "Optional", flag(&source[kind]["optional"]));
            }
        }
        if source["downwardAPI"].is_object() {
            writer.field(2, "DownwardAPI", true);
        }
        if source["serviceAccountToken"].is_object() {
            let seconds = &source["serviceAccountToken"]["expirationSeconds"];
            writer.field_of(2, "TokenExpirationSeconds", seconds);
        }
    }
}
