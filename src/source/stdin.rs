//! Standard input, read once.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::files::on_one_line;
use super::{SourceEvent, Wanted, file};
use crate::pod::sysctl::Allowed;
use crate::pod::{Manifest, SourceKind};

/// Reads the manifest on standard input, to its end. One that is not understood wants nothing new, and ends nothing.
pub async fn read(sysctls: Allowed, say: impl Fn(&str)) -> SourceEvent {
    let read = spawn_blocking(move || file::read("-", &sysctls)).await;
    let problem = match &read {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(on_one_line(error)),
        Err(panic) => Some(format!("read standard input: {panic}")),
    };
    problem.iter().for_each(|line| say(line));
    let Manifest { pods, objects, written } = read.ok().and_then(Result::ok).unwrap_or_default();
    SourceEvent {
        source: SourceKind::Stdin,
        pods: pods.into_iter().map(|pod| Wanted::of(pod, String::new(), &written)).collect(),
        objects: Arc::new(objects),
        unread: problem.iter().map(|_| String::new()).collect::<BTreeSet<_>>(),
    }
}
