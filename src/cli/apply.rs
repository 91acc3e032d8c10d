//! `mkubelet apply`: makes objects what manifests say, and changes only what the manifests have changed.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use kube::Client;
use serde_json::Value;

use super::client::failure::{is_code, remark, told_when};
use super::client::report::DryRun;
use super::client::request::{STRATEGIC_MERGE, ask, get};
use super::client::three_way;
use super::create::{Common, Item};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    common.each(client, "apply", async |item: Item<'_>| one(client, common, &item).await).await
}

async fn one(client: &Client, common: &Common, item: &Item<'_>) -> anyhow::Result<(Value, &'static str)> {
    let Item { of, namespace, source, .. } = item;
    let mut modified = item.object.clone();
    three_way::keep_configuration(&mut modified);
    let name = modified["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let retrieving = format!("error when retrieving current configuration of {source:?}");
    anyhow::ensure!(!name.is_empty(), "{retrieving}: resource name may not be empty");
    let path = of.object_path(namespace, &name);
    let current = match get(client, &path).await {
        Err(error) if is_code(&error, 404) => {
            return Ok((common.create(client, item, modified).await?, "created"));
        }
        answer => answer.map_err(|error| told_when(&retrieving, error))?,
    };
    let last = three_way::last_configuration(&current);
    if last.is_none() && common.dry_run == DryRun::None {
        remark(&format!(
            "Warning: resource {} is missing the {} annotation which is required by kubectl apply. kubectl apply should \
             only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. \
             The missing annotation will be patched automatically.",
            format_args!("{}/{name}", of.qualified(&of.plural)),
            three_way::LAST_APPLIED,
        ));
    }
    let patch = three_way::patch(&of.kind, last.as_ref(), &modified, &current);
    Ok(match patch.as_object() {
        Some(fields) if fields.is_empty() => (current, "unchanged"),
        _ if common.dry_run == DryRun::Client => (modified, "configured"),
        _ => (send(client, common, &path, &patch, source).await?, "configured"),
    })
}

async fn send(
    client: &Client,
    common: &Common,
    path: &str,
    patch: &Value,
    source: &str,
) -> anyhow::Result<Value> {
    let path = common.parameters("kubectl-client-side-apply").below(path);
    let answer = ask(client, Method::PATCH, &path, STRATEGIC_MERGE, Some(patch)).await;
    answer.map_err(|error| told_when(&format!("error when applying patch:\n{patch}\nto:\n{source:?}"), error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::{not_found, parsed, server};

    #[tokio::test]
    async fn an_object_is_created_configured_or_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.yaml");
        std::fs::write(&path, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n")
            .unwrap();
        let arguments = parsed(["apply", "-f", path.to_str().unwrap()]).unwrap();
        let (client, requests) = server(|asked| match asked.line.split_once(' ').unwrap().0 {
            "GET" => not_found("a"),
            _ => (201, asked.body.clone()),
        });
        run(&client, &arguments).await.unwrap();
        let created = requests.all()[1].body.clone();
        assert_eq!(
            created["metadata"]["annotations"][three_way::LAST_APPLIED],
            "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"v\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\
             \"name\":\"a\",\"namespace\":\"default\"}}\n"
        );
        for (value, requested) in [("v", None), ("old", Some(json!({"data": {"k": "v"}})))] {
            let mut current = created.clone();
            current["data"]["k"] = value.into();
            current["metadata"]["resourceVersion"] = "7".into();
            let (client, requests) = server(move |_| (200, current.clone()));
            run(&client, &arguments).await.unwrap();
            let patched = requests.all().into_iter().find(|asked| asked.line.starts_with("PATCH"));
            assert_eq!(patched.map(|asked| asked.body), requested);
        }
    }
}
