//! Hooks: what a container is told right after its start (postStart) and before its stop signal (preStop).
//!
//! A hook is run once, to its end, whatever that takes: whoever asked may drop it. What goes wrong is told in the kubelet's
//! words. Unlike the kubelet, which takes a tcpSocket hook and then always fails it, this connects.

use std::net::IpAddr;

use crate::pod::spec::{Hook, HttpGet};
use crate::pod::{ContainerName, Pod};
use crate::probe::Prober;
use crate::probe::address::Address;
use crate::runtime::{Error, Runtime};

/// What the kubelet of the same version calls itself when it runs a hook.
const USER_AGENT: &str = "kube-lifecycle/1.37";

/// The attempt of a container that a hook is for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// Its name.
    pub container: &'a ContainerName,
    /// Its id; it runs.
    pub id: &'a str,
    /// The host to ask where the hook names none.
    pub pod_ip: IpAddr,
}

/// Runs a hook. An error is one line that names the hook, the container, the pod and the reason.
pub async fn run<R: Runtime>(
    hook: &Hook,
    place: Place<'_>,
    runtime: &R,
    prober: &Prober,
) -> Result<(), Error> {
    let Place { pod, container, id, pod_ip } = place;
    let failed = |what: String, reason: String| {
        let name = format!("{}_{}({})", pod.key.name, pod.key.namespace, pod.uid);
        Error(format!(
            "{what} for Container {:?} in Pod {name:?} failed - error: {reason}",
            container.as_str()
        ))
    };
    match hook {
        Hook::Exec(command) => {
            let what = || format!("Exec lifecycle hook ([{}])", command.join(" "));
            exec(command, id, runtime).await.map_err(|reason| failed(what(), reason))
        }
        Hook::HttpGet(get) => {
            let got = http_get(get, pod_ip, prober).await;
            got.map_err(|reason| failed(format!("HTTP lifecycle hook ({})", get.path), reason))
        }
        Hook::TcpSocket(socket) => {
            let address = Address::new(socket.host.as_deref(), pod_ip, socket.port);
            let connected = address.connect().await.map(drop);
            connected.map_err(|reason| failed(format!("TCP lifecycle hook ({address})"), reason))
        }
        Hook::Sleep(duration) => {
            tokio::time::sleep(*duration).await;
            Ok(())
        }
    }
}

async fn exec<R: Runtime>(command: &[String], id: &str, runtime: &R) -> Result<(), String> {
    let ran = runtime.exec(id, command, None).await.map_err(|error| Error::chain(&error).0)?;
    let output = String::from_utf8_lossy(&ran.output);
    match ran.exit.code {
        0 => Ok(()),
        code => Err(format!("command '{}' exited with {code}: , message: {output:?}", command.join(" "))),
    }
}

/// As the kubelet: any answer will do, and who is asked over TLS may answer without it.
async fn http_get(get: &HttpGet, pod_ip: IpAddr, prober: &Prober) -> Result<(), String> {
    let client = prober.http()?;
    let failure = match client.question(get, pod_ip, USER_AGENT).get().await {
        Ok(_) => return Ok(()),
        Err(failure) => failure,
    };
    if !failure.no_tls {
        return Err(failure.reason);
    }
    let mut plain = HttpGet { https: false, ..get.clone() };
    plain.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
    client.question(&plain, pod_ip, USER_AGENT).get().await.map(drop).map_err(|_| failure.reason)
}

#[cfg(test)]
mod tests;
