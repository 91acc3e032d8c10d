//! `mkubelet kubeconfig`: what kubectl needs to drive this node, on standard output.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jiff::Timestamp;

use crate::api::auth::MASTERS;
use crate::api::pki::Authority;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the agent serves the API, as its --api-bind says.
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:6443")]
    server: String,
    /// Name of the user that the certificate is for.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    user: String,
    /// Name of the cluster in the file.
    #[arg(long, value_name = "NAME", default_value = "mkubelet")]
    cluster: String,
}

/// The text of the file. The certificate in it is good for a year, and may do everything.
pub(super) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<String> {
    let now = Timestamp::now();
    let authority = Authority::open(&config.layout.pki(), now)?;
    let issued = authority.issue_client(&arguments.user, MASTERS, now)?;
    let Arguments { server, user, cluster } = arguments;
    let data = |pem: String| STANDARD.encode(pem);
    // JSON's quotes are YAML's as well.
    let (server, name) = (serde_json::to_string(server)?, serde_json::to_string(cluster)?);
    let context = serde_json::to_string(&format!("{user}@{cluster}"))?;
    let user = serde_json::to_string(user)?;
    Ok(format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {name}\n\
         \x20 cluster:\n\
         \x20   certificate-authority-data: {authority}\n\
         \x20   server: {server}\n\
         contexts:\n\
         - name: {context}\n\
         \x20 context:\n\
         \x20   cluster: {name}\n\
         \x20   user: {user}\n\
         current-context: {context}\n\
         users:\n\
         - name: {user}\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n",
        authority = data(authority.certificate_pem()),
        certificate = data(issued.certificate_pem()),
        key = data(issued.key_pem()),
    ))
}
