//! The verbs that are requests to the agent's API. They need no root, only a socket that they may open.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use kube::Client;

use super::client::connect;
use super::client::failure::{Exit, lines, remark};
use super::label::Field;
use super::{
    apply, attach, copy, create, debug, delete, describe, edit, exec, get, label, logs, object_events, patch,
    port_forward, top, trace, wait,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Shows objects of the agent's API.
    Get(get::Arguments),
    /// Shows objects and what belongs to them, in full.
    Describe(describe::Arguments),
    /// Makes objects of manifests.
    Create(create::Arguments),
    /// Makes objects what manifests say, or changes them to it.
    Apply(apply::Arguments),
    /// Deletes objects, by name, labels or manifests.
    Delete(delete::Arguments),
    /// Prints what containers of a pod have written.
    Logs(logs::Arguments),
    /// Runs a command in a container.
    Exec(exec::Arguments),
    /// Connects with the process that a container runs.
    Attach(attach::Arguments),
    /// Copies files into a container, and out of it.
    Cp(copy::Arguments),
    /// Leads ports of this machine into a pod.
    PortForward(port_forward::Arguments),
    /// Shows what has happened to objects.
    Events(object_events::Arguments),
    /// Changes objects in an editor.
    Edit(edit::Arguments),
    /// Changes fields of objects.
    Patch(patch::Arguments),
    /// Changes labels: `KEY=VALUE` adds one, `KEY-` takes it away.
    Label(label::Arguments),
    /// Changes annotations: `KEY=VALUE` adds one, `KEY-` takes it away.
    Annotate(label::Arguments),
    /// Waits for a condition of objects.
    Wait(wait::Arguments),
    /// Adds a container to a pod that runs, to look around in it; or makes a pod that sees the node.
    Debug(debug::Arguments),
    /// Shows how long each step of a pod's start took.
    Trace(trace::Arguments),
    /// Shows what pods or nodes use.
    #[command(subcommand)]
    Top(top::Command),
}

/// Carries a verb out, and tells an error as kubectl does.
pub(super) fn run(verb: Verb, socket: &Path) -> anyhow::Result<ExitCode> {
    speak(socket, async |client| carry_out(verb, &client).await)
}

/// Connects to the agent, and tells an error as kubectl does.
pub(super) fn speak(
    socket: &Path,
    talk: impl AsyncFnOnce(Client) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async { talk(connect(socket).await?).await });
    // A read of standard input may be under way, and nobody can end it.
    runtime.shutdown_background();
    Ok(ended.unwrap_or_else(|error| failed(&error)))
}

/// Tells an error as kubectl does.
pub(super) fn failed(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Exit>() {
        Some(Exit(code)) => ExitCode::from(*code),
        None => {
            remark(&lines(error));
            ExitCode::FAILURE
        }
    }
}

/// The same, of a server that is connected.
pub(super) async fn carry_out(verb: Verb, client: &Client) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Get(arguments) => get::run(client, arguments).await.map(|()| ExitCode::SUCCESS),
        Verb::Describe(arguments) => describe::run(client, &arguments).await,
        Verb::Create(arguments) => create::run(client, &arguments).await,
        Verb::Apply(arguments) => apply::run(client, &arguments).await,
        Verb::Delete(arguments) => delete::run(client, &arguments).await,
        Verb::Logs(arguments) => logs::run(client, &arguments).await,
        Verb::Exec(arguments) => exec::run(client, &arguments).await,
        Verb::Attach(arguments) => attach::run(client, &arguments).await,
        Verb::Cp(arguments) => copy::run(client, &arguments).await,
        Verb::PortForward(arguments) => port_forward::run(client, &arguments).await,
        Verb::Events(arguments) => object_events::run(client, &arguments).await,
        Verb::Edit(arguments) => edit::run(client, &arguments).await,
        Verb::Patch(arguments) => patch::run(client, &arguments).await,
        Verb::Label(arguments) => label::run(client, Field::Labels, arguments).await,
        Verb::Annotate(arguments) => label::run(client, Field::Annotations, arguments).await,
        Verb::Wait(arguments) => wait::run(client, &arguments).await,
        Verb::Debug(arguments) => debug::run(client, &arguments).await,
        Verb::Trace(arguments) => trace::run(client, &arguments).await,
        Verb::Top(command) => top::run(client, &command).await,
    }
}

#[cfg(test)]
mod tests;
