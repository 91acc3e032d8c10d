//! Waits for shutdowns, for as long as the agent lives, and has pods end when one begins.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::sleep;

use super::groups::Groups;
use super::logind::Logind;
use super::{Shutdown, delay};

/// A login manager that is not there, or went away, is looked for again after this time.
const AGAIN: Duration = Duration::from_secs(5);

/// The node, as a shutdown needs it.
pub trait Node: Send + Sync + 'static {
    /// Tells that the machine goes down, or that it does not after all: from now on no new pods are taken, or they are again.
    fn tell(&self, is_going_down: bool);

    /// Ends all pods, group after group.
    fn end_pods(&self, groups: &Groups) -> impl Future<Output = ()> + Send;

    /// Tells a person.
    fn say(&self, line: &str);
}

/// Has pods end whenever a shutdown begins. Without groups of them nothing is done.
pub async fn run(shutdown: Shutdown, node: impl Node) {
    let mut watch = Watch { shutdown, node, told: String::new() };
    while !watch.shutdown.groups.is_empty() {
        if let Err(error) = watch.follow().await {
            watch.tell(format!("pods will have no time to end when the machine goes down: {error}"));
        }
        sleep(AGAIN).await;
    }
}

struct Watch<N> {
    shutdown: Shutdown,
    node: N,
    /// What was said last: once is enough.
    told: String,
}

impl<N: Node> Watch<N> {
    /// Until the connection ends.
    async fn follow(&mut self) -> zbus::Result<()> {
        let logind = Logind::connect().await?;
        self.extend(&logind).await?;
        // Before the lock: a shutdown that begins from then on is heard of.
        let mut shutdowns = logind.shutdowns().await?;
        let mut lock = Some(logind.inhibit().await?);
        tracing::info!(total = ?self.shutdown.groups.total(), "a shutdown of the machine waits for pods");
        while let Some(is_going_down) = shutdowns.next().await {
            self.node.tell(is_going_down);
            if is_going_down {
                self.node.end_pods(&self.shutdown.groups).await;
                drop(lock.take());
            } else if lock.is_none() {
                lock = Some(logind.inhibit().await?);
            }
        }
        tracing::warn!("the connection to systemd-logind is gone");
        Ok(())
    }

    /// Sees to it that logind waits long enough.
    async fn extend(&mut self, logind: &Logind) -> zbus::Result<()> {
        let (wanted, given) = (self.shutdown.groups.total(), logind.longest_delay().await?);
        if given >= wanted {
            self.told.clear();
        } else if let Err(error) = delay::extend(logind, wanted, &self.shutdown.logind_conf_dir).await {
            self.tell(format!(
                "pods are to have {wanted:?} to end when the machine goes down, and systemd-logind waits for {given:?}: {error}"
            ));
        }
        Ok(())
    }

    fn tell(&mut self, line: String) {
        if self.told != line {
            self.node.say(&line);
            self.told = line;
        }
    }
}
