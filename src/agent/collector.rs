//! Throws images away that nobody uses, as their policy has it: every five minutes, and when evictions want room.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{interval, timeout};

use super::desired::Desired;
use crate::cluster::recorder::Recorder;
use crate::events::Event;
use crate::eviction::host::Host as Reader;
use crate::eviction::signal::{Observation, Signal};
use crate::image::Store;
use crate::image::collect::{Kept, Policy, Reason};
use crate::metrics::Metrics;
use crate::runtime::Error;

/// How often (the kubelet's ImageGCPeriod).
const PERIOD: Duration = Duration::from_secs(300);

/// How long the sources have to say what they want, before evictions take what no pod is known to need.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// What that needs.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    /// The node's name.
    pub(super) node: String,
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) policy: Policy,
    pub(super) desired: watch::Receiver<Desired>,
    pub(super) recorder: Recorder,
    pub(super) metrics: Arc<Metrics>,
}

/// What a round came to.
#[derive(Debug, Default)]
struct Round {
    /// Why images went, one after the other.
    gone: Vec<Reason>,
    /// What went wrong with some of them.
    failed: Vec<String>,
    /// The disk has no size.
    invalid: Option<String>,
    /// Not so much could be freed as was to be.
    too_little: Option<String>,
}

impl Collector {
    /// One round after another, for ever; the first when all sources have said which pods they want, or after a round's time.
    pub(super) async fn run(mut self) {
        // A source may be gone for good, with its agent.
        let _ = timeout(PERIOD, self.desired.wait_for(Desired::is_complete)).await;
        let mut has_failed = false;
        let mut rounds = interval(PERIOD);
        loop {
            rounds.tick().await;
            let failure = self.round().await.err();
            if let Some(why) = &failure {
                tracing::warn!("image garbage collection failed: {why}");
                // As with a kubelet, once is nothing.
                if has_failed {
                    self.recorder.record_of_node(&self.node, Event::image_gc_failed(why));
                }
            }
            has_failed = failure.is_some();
        }
    }

    /// Throws away all images that nobody uses, for want of room. True if there were any.
    pub(super) async fn free_all(&self) -> bool {
        let mut one = self.clone();
        let _ = timeout(FIRST_WORD, one.desired.wait_for(Desired::is_complete)).await;
        let round = spawn_blocking(move || {
            let mut round = Round::default();
            one.free(&mut round, Some(u64::MAX)).map(|_| round)
        });
        match round.await.map_err(|error| Error::chain(&error)) {
            Ok(Ok(round)) => {
                round.gone.iter().for_each(|reason| self.metrics.image_collected(reason.as_str()));
                round.failed.iter().for_each(|why| tracing::warn!("an image stays that nobody uses: {why}"));
                !round.gone.is_empty()
            }
            Ok(Err(error)) | Err(error) => {
                tracing::warn!("no image can be removed: {error}");
                false
            }
        }
    }

    async fn round(&self) -> Result<(), String> {
        let one = self.clone();
        let round = spawn_blocking(move || one.collect()).await.map_err(|error| Error::chain(&error).0)?;
        let Round { gone, failed, invalid, too_little } = round.map_err(|error| error.0)?;
        gone.iter().for_each(|reason| self.metrics.image_collected(reason.as_str()));
        if let Some(why) = &invalid {
            self.recorder.record_of_node(&self.node, Event::invalid_disk_capacity(why));
        }
        if let Some(why) = &too_little {
            self.recorder.record_of_node(&self.node, Event::free_disk_space_failed(why));
        }
        let whys: Vec<String> = failed.into_iter().chain(invalid).chain(too_little).collect();
        if whys.is_empty() { Ok(()) } else { Err(whys.join("; ")) }
    }

    fn collect(&self) -> Result<Round, Error> {
        let mut round = Round::default();
        // First what is too old: that may be room enough.
        self.free(&mut round, None)?;
        let seen = self.reader.observe();
        let Some(Observation { available, capacity }) = seen.get(&Signal::ImageFsAvailable).copied() else {
            return Err(Error("the disk of the images cannot be looked at".to_owned()));
        };
        match self.policy.excess(available, capacity) {
            Err(why) => round.invalid = Some(why),
            Ok(None) => {}
            Ok(Some(wanted)) => {
                let freed = self.free(&mut round, Some(wanted))?;
                // The kubelet's words.
                round.too_little = (freed < wanted).then(|| {
                    format!(
                        "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
                    )
                });
            }
        }
        Ok(round)
    }

    /// Throws images away until so much is free; without a number those that are too old. Gives what was freed.
    fn free(&self, round: &mut Round, wanted: Option<u64>) -> Result<u64, Error> {
        let desired = self.desired.borrow().images();
        let (now, kept) =
            (Timestamp::now(), self.store.kept(&desired).map_err(|error| Error::chain(&error))?);
        let mut freed = 0;
        for image in self.policy.candidates(&kept, now) {
            let reason = match wanted {
                Some(wanted) if freed >= wanted => break,
                Some(_) => Reason::Space,
                None if self.policy.is_too_old(image, now) => Reason::Age,
                None => continue,
            };
            match self.remove(image, reason) {
                Ok(Some(bytes)) => {
                    freed = freed.saturating_add(bytes);
                    round.gone.push(reason);
                }
                // Somebody has begun to use it.
                Ok(None) => {}
                Err(why) => round.failed.push(why),
            }
        }
        Ok(freed)
    }

    fn remove(&self, image: &Kept, reason: Reason) -> Result<Option<u64>, String> {
        // What has come to be wanted meanwhile stays, too.
        let desired = self.desired.borrow().images();
        let freed = self.store.collect(&image.image, &desired).map_err(|error| Error::chain(&error).0)?;
        if let Some(bytes) = freed {
            let (names, reason) = (image.names.join(", "), reason.as_str());
            tracing::info!(image = names, reason, bytes, "removed an image that nobody uses");
        }
        Ok(freed)
    }
}
