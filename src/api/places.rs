//! The places of a listener: how many connections there may be, and who leaves when there are no more.
//!
//! A place costs nothing to take: a stranger may open as many connections as there are and say nothing on them, or half a request. So when all are
//! taken, and somebody comes, the connection leaves that has waited longest for the end of a handshake or of a request's head. One whose
//! request is being answered, be it a watch, stays, and so does one that has become something else, such as an exec.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::FutureExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The places of one listener.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
    someone_waits: Arc<Notify>,
}

/// Connections that wait for their client, whoever has done so longest first.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    by_turn: BTreeMap<u64, CancellationToken>,
}

/// A connection as long as it speaks HTTP, or is about to.
#[derive(Debug)]
pub(super) struct Guest {
    waiting: Arc<Mutex<Waiting>>,
    someone_waits: Arc<Notify>,
    /// Its place among those that wait.
    turn: Mutex<Option<u64>>,
    leave: CancellationToken,
}

/// As long as this lives, a request of the guest is being answered.
#[derive(Debug)]
struct Busy(Arc<Guest>);

/// The body of an answer, at whose end the guest waits again.
struct Answering {
    body: Body,
    _busy: Busy,
}

impl Places {
    /// That many.
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), waiting: Arc::default(), someone_waits: Arc::default() }
    }

    /// A place for a connection that has come. If there is none, somebody who waits leaves; if nobody waits, this does until somebody does.
    pub(super) async fn take(&self) -> (OwnedSemaphorePermit, Arc<Guest>) {
        let place = loop {
            let mut free = pin!(Arc::clone(&self.free).acquire_owned());
            if let Some(place) = free.as_mut().now_or_never() {
                break place;
            }
            let longest = lock(&self.waiting).by_turn.pop_first();
            if let Some((_, leave)) = longest {
                leave.cancel();
                break free.await;
            }
            tokio::select! {
                place = free => break place,
                () = self.someone_waits.notified() => {}
            }
        };
        let place = place.expect("nobody closes the semaphore");
        let waiting = Arc::clone(&self.waiting);
        let (turn, leave) = (Mutex::default(), CancellationToken::new());
        let someone_waits = Arc::clone(&self.someone_waits);
        let guest = Arc::new(Guest { waiting, someone_waits, turn, leave });
        guest.wait();
        (place, guest)
    }
}

impl Guest {
    /// Waits until somebody else needs the place.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.cancelled().await;
    }

    /// Carries out `answer`, and counts as busy until the end of what comes of it.
    pub(super) async fn answering<E>(
        self: Arc<Self>,
        answer: impl Future<Output = Result<Response, E>>,
    ) -> Result<Response, E> {
        self.stop_waiting();
        let busy = Busy(self);
        Ok(answer.await?.map(|body| Body::new(Answering { body, _busy: busy })))
    }

    fn wait(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.last += 1;
        let turn = waiting.last;
        waiting.by_turn.insert(turn, self.leave.clone());
        *lock(&self.turn) = Some(turn);
        self.someone_waits.notify_one();
    }

    fn stop_waiting(&self) {
        // One lock at a time: `wait` takes them the other way round.
        let turn = lock(&self.turn).take();
        if let Some(turn) = turn {
            lock(&self.waiting).by_turn.remove(&turn);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain values, whole after every operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
