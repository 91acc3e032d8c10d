//! The agent as a service of systemd: that it is ready, that it is alive, that it is on its way out (sd_notify(3)). Without a
//! service manager nothing is told to anybody.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use crate::sync::event_loop::Event;

/// Tells that the agent is ready once its loop answers; and then, twice in the time that the watchdog gives, that it still does.
pub(super) async fn report(events: mpsc::UnboundedSender<Event>) {
    let patience = sd_notify::watchdog_enabled();
    if answers(&events, patience.unwrap_or(Duration::MAX)).await {
        tell(NotifyState::Ready);
    }
    let Some(patience) = patience else { return };
    let mut turns = interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        turns.tick().await;
        // A loop that hangs is not excused: systemd starts another agent, and the pods do not notice.
        if answers(&events, patience).await {
            tell(NotifyState::Watchdog);
        }
    }
}

/// Tells that the agent ends as it was asked to.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

async fn answers(events: &mpsc::UnboundedSender<Event>, patience: Duration) -> bool {
    let (question, answer) = oneshot::channel();
    events.send(Event::Alive(question)).is_ok() && matches!(timeout(patience, answer).await, Ok(Ok(())))
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
