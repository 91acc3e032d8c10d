//! `mkubelet port-forward`: ports of this machine that lead into a pod, until interrupted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use clap::Args;
use futures::future::select_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::net::{TcpListener, TcpStream};

use super::client::failure::remark;
use super::client::interaction::RunningTimeout;
use super::client::pod;
use super::client::selection::Namespace;
use super::say;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod: `web` or `pod/web`.
    pod: String,
    /// `80`, `8080:80`, or `:80` for a local port that is free.
    #[arg(value_name = "[LOCAL:]REMOTE", required = true, value_parser = parse)]
    ports: Vec<Ports>,
    #[command(flatten)]
    namespace: Namespace,
    /// Addresses to listen on.
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
    #[command(flatten)]
    _timeout: RunningTimeout,
}

/// A port here and one in the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    local: u16,
    remote: u16,
}

fn parse(text: &str) -> Result<Ports, String> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let number = |which: &str, port: &str| {
        port.parse::<u16>().map_err(|_| format!("error parsing {which} port '{port}': invalid port"))
    };
    let local = if local.is_empty() { 0 } else { number("local", local)? };
    match number("remote", remote)? {
        0 => Err("remote port must be > 0".to_owned()),
        remote => Ok(Ports { local, remote }),
    }
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let namespace = arguments.namespace.name();
    let found = pod::find(client, namespace, &arguments.pod).await?;
    let phase = found["status"]["phase"].as_str().unwrap_or_default();
    anyhow::ensure!(
        phase == "Running",
        "unable to forward port because pod is not running. Current status={phase}"
    );
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut listeners = Vec::new();
    for ports in &arguments.ports {
        listeners
            .extend(listen(&arguments.address, *ports).await?.into_iter().map(|listener| (listener, *ports)));
    }
    let mut accepting = Vec::new();
    for (listener, ports) in listeners {
        let address = listener.local_addr()?;
        say(&format!("Forwarding from {address} -> {}\n", ports.remote))?;
        accepting.push(Box::pin(accept(listener, address.port(), ports.remote, &pods, pod::name(&found))));
    }
    select_all(accepting).await.0?;
    Ok(ExitCode::SUCCESS)
}

/// Listens on all addresses; of `localhost` one of the two families is enough.
async fn listen(addresses: &[String], ports: Ports) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut failed = Vec::new();
    for address in addresses {
        let addresses: Vec<IpAddr> = match address.as_str() {
            "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            text => vec![text.parse().map_err(|_| anyhow::anyhow!("{text} is not a valid IP"))?],
        };
        let is_one_enough = addresses.len() > 1;
        let before = listeners.len();
        for address in addresses {
            // A free port that was found for one address is that of the others, too.
            let local = match listeners.first() {
                Some(first) if ports.local == 0 => first.local_addr()?.port(),
                _ => ports.local,
            };
            let address = SocketAddr::new(address, local);
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => failed.push(format!("unable to create listener: listen on {address}: {error}")),
            }
        }
        anyhow::ensure!(
            listeners.len() > before && (is_one_enough || failed.is_empty()),
            "unable to listen on port {}: Listeners failed to create with the following errors: [{}]",
            ports.local,
            failed.join(" ")
        );
    }
    Ok(listeners)
}

async fn accept(
    listener: TcpListener,
    local: u16,
    remote: u16,
    pods: &Api<Pod>,
    name: &str,
) -> anyhow::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        say(&format!("Handling connection for {local}\n"))?;
        let (pods, name) = (pods.clone(), name.to_owned());
        tokio::spawn(async move {
            if let Err(error) = forward(connection, &pods, &name, remote).await {
                remark(&format!("error: an error occurred forwarding {local} -> {remote}: {error:#}"));
            }
        });
    }
}

/// Carries one connection until both sides have ended it, or the pod says why it cannot be.
async fn forward(mut connection: TcpStream, pods: &Api<Pod>, name: &str, port: u16) -> anyhow::Result<()> {
    let mut forwarder = pods.portforward(name, &[port]).await?;
    let failure = forwarder.take_error(port);
    let Some(mut stream) = forwarder.take_stream(port) else { anyhow::bail!("no stream for port {port}") };
    let copied = tokio::io::copy_bidirectional(&mut connection, &mut stream).await;
    drop(stream);
    if let Some(failure) = failure
        && let Some(why) = failure.await
    {
        anyhow::bail!("{why}");
    }
    // A client that resets its connection is done with it.
    drop(copied);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_kubectl_has_them() {
        for (text, local, remote) in [("80", 80, 80), ("8080:80", 8080, 80), (":80", 0, 80), ("0:80", 0, 80)]
        {
            assert_eq!(parse(text), Ok(Ports { local, remote }), "{text}");
        }
        for text in ["", ":", "0", "80:", "80:0", "http", "1:2:3", "70000"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn one_port_serves_all_addresses_and_a_taken_one_is_told() {
        let both = listen(&["localhost".to_owned()], Ports { local: 0, remote: 80 }).await.unwrap();
        let ports: Vec<u16> = both.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(!ports.is_empty() && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
        let taken =
            listen(&["127.0.0.1".to_owned()], Ports { local: ports[0], remote: 80 }).await.unwrap_err();
        assert!(taken.to_string().contains(&format!("unable to listen on port {}", ports[0])), "{taken}");
        let bad = listen(&["x".to_owned()], Ports { local: 0, remote: 80 }).await.unwrap_err();
        assert_eq!(bad.to_string(), "x is not a valid IP");
    }
}
