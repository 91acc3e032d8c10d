//! systemd-logind over D-Bus: a lock that delays a shutdown, and word of one that begins.
//!
//! Source: org.freedesktop.login1(5), org.freedesktop.systemd1(5), <https://systemd.io/INHIBITOR_LOCKS/>.

use std::time::Duration;

use futures::{Stream, StreamExt};
use zbus::proxy::CacheProperties;
use zbus::{OwnedFd, Proxy, Result, connection, proxy};

const LOGIND: [&str; 3] =
    ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];
const SYSTEMD: [&str; 3] =
    ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

/// An answer is waited for so long, as libdbus does.
const PATIENCE: Duration = Duration::from_secs(25);

/// The login manager of this machine.
#[derive(Debug)]
pub struct Logind {
    manager: Proxy<'static>,
}

/// Delays a shutdown as long as it lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "what counts is that it is open")] OwnedFd);

impl Logind {
    /// Connects over the system bus: that of DBUS_SYSTEM_BUS_ADDRESS, or the one where all systems have it.
    pub async fn connect() -> Result<Self> {
        let connection = connection::Builder::system().method_timeout(PATIENCE).build().await?;
        Ok(Self { manager: proxy(&connection, LOGIND).await? })
    }

    /// For how long locks can delay a shutdown (InhibitDelayMaxSec of logind.conf(5)).
    pub async fn longest_delay(&self) -> Result<Duration> {
        self.manager.get_property("InhibitDelayMaxUSec").await.map(Duration::from_micros)
    }

    /// Has it read its configuration again, some time soon.
    pub async fn reload(&self) -> Result<()> {
        let systemd = proxy(self.manager.connection(), SYSTEMD).await?;
        systemd.call("KillUnit", &("systemd-logind.service", "all", libc::SIGHUP)).await
    }

    /// Takes a lock. That fails while a shutdown is under way.
    pub async fn inhibit(&self) -> Result<Lock> {
        let lock = ("shutdown", "mkubelet", "mkubelet needs time to end its pods", "delay");
        self.manager.call("Inhibit", &lock).await.map(Lock)
    }

    /// Tells of each shutdown that begins (true) or is called off (false). Ends with the connection.
    pub async fn shutdowns(&self) -> Result<impl Stream<Item = bool> + Unpin + use<>> {
        let signals = self.manager.receive_signal("PrepareForShutdown").await?;
        // A signal that says something else says nothing.
        let begins = |message: zbus::Message| std::future::ready(message.body().deserialize::<bool>().ok());
        Ok(signals.filter_map(begins).boxed())
    }
}

/// An object of the bus, whose properties are asked for each time: they change with the configuration, and nobody says so.
async fn proxy(
    connection: &zbus::Connection,
    [name, path, interface]: [&'static str; 3],
) -> Result<Proxy<'static>> {
    let proxy = proxy::Builder::new(connection).destination(name).path(path).interface(interface);
    proxy.cache_properties(CacheProperties::No).build().await
}
