//! The pod's record: what a later agent needs to know of it, written in order and never by two at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::{PodRuntime, blocking};
use crate::pod::Pod;
use crate::runtime::Error;
use crate::runtime::pod_files::write_record;
use crate::state::record::{Given, PodRecord};
use crate::state::store::{self, Survive};

impl PodRuntime {
    /// What is kept of the pod on the disk.
    pub(super) async fn record(&self) -> Option<PodRecord> {
        let path = self.host.layout.pod_record(&self.pod.uid);
        blocking(move || store::read::<PodRecord>(&path)).await.ok().flatten()
    }

    /// What a later agent needs to know of the pod.
    pub(super) fn record_now(&self) -> PodRecord {
        let pod = Pod::clone(&self.pod());
        let memory = self.memory();
        PodRecord::new(pod)
            .with_given(memory.given.clone())
            .with_eviction(memory.eviction.clone())
            .with_origin(self.origin.as_deref().cloned())
            .with_deadline(memory.deadline)
            .with_over(memory.over.clone())
    }

    /// Puts the pod's record on the disk for good, while the pod starts.
    pub(super) fn save_record(&self) {
        let (pod, host, record) = (self.pod(), Arc::clone(&self.host), self.record_now());
        let mut memory = self.memory();
        memory.saving.get_or_insert_with(|| {
            spawn_blocking(move || {
                if let Err(error) = write_record(&record, &host, Survive::PowerLoss) {
                    tracing::warn!(pod = %pod.key, podUID = %pod.uid, %error, "the pod will not survive a loss of power");
                }
            })
        });
    }

    /// Writes the record of the pod as it is now, with what those that run were given while that is another thing.
    pub(super) async fn keep_record(&self, given: Option<BTreeMap<String, Given>>) -> Result<(), Error> {
        self.write_record_later(given, Survive::PowerLoss).await.map_err(|gone| Error::chain(&gone))?
    }

    /// Writes it once every earlier one is written. What is returned tells when it is there; nobody has to wait.
    pub(super) fn write_record_later(
        &self,
        given: Option<BTreeMap<String, Given>>,
        survive: Survive,
    ) -> oneshot::Receiver<Result<(), Error>> {
        let host = Arc::clone(&self.host);
        let (done, written) = oneshot::channel();
        self.memory().given = given;
        let record = self.record_now();
        {
            let mut memory = self.memory();
            let before = memory.saving.take();
            // Removal waits for it, even if nobody waits here any more.
            memory.saving = Some(tokio::spawn(async move {
                if let Some(before) = before {
                    // So that an older one never comes last.
                    let _ = before.await;
                }
                let write = move || write_record(&record, &host, survive);
                let _ = done.send(blocking(write).await.and_then(|written| written));
            }));
        }
        written
    }
}
