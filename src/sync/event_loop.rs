//! The agent's main loop: a map of workers, and one closed list of what can happen to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::worker::Order;
use crate::pod::{Pod, PodUid};
use crate::runtime::Error;

/// All that can wake the agent.
#[derive(Debug)]
pub enum Event {
    /// The person wants to go: the first time each pod gets its grace period, the second time none.
    Stop,
    /// A pod's manifest was edited: it should go on as this one.
    Update(Box<Pod>),
    /// A pod is gone from the node, or could not be looked after.
    Gone {
        /// Which.
        uid: PodUid,
        /// What went wrong with it.
        result: Result<(), Error>,
    },
}

/// What the agent has to do with one pod.
#[derive(Debug)]
struct Worker {
    pod: Arc<Pod>,
    orders: watch::Sender<Order>,
}

/// The workers, by pod.
#[derive(Debug)]
pub struct EventLoop {
    workers: HashMap<PodUid, Worker>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    stops: u32,
}

/// How the loop ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How often it was told to stop.
    pub stops: u32,
    /// What went wrong, with the pods that it went wrong with.
    pub errors: Vec<Error>,
}

impl EventLoop {
    /// A loop without workers.
    pub fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self { workers: HashMap::new(), events, sender, stops: 0 }
    }

    /// Where events are sent.
    pub fn sender(&self) -> mpsc::UnboundedSender<Event> {
        self.sender.clone()
    }

    /// Adds a worker: `look_after` gets the orders for its pod, and ends when the pod is gone.
    pub fn add<F>(&mut self, pod: Arc<Pod>, look_after: impl FnOnce(watch::Receiver<Order>) -> F)
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (orders, receiver) = watch::channel(Order::Run(Arc::clone(&pod)));
        let (uid, task, sender) = (pod.uid.clone(), tokio::spawn(look_after(receiver)), self.sender.clone());
        self.workers.insert(uid.clone(), Worker { pod, orders });
        tokio::spawn(async move {
            let result = task.await.unwrap_or_else(|panic| Err(Error::chain(&panic)));
            // Fails only when the loop has been dropped.
            let _ = sender.send(Event::Gone { uid, result });
        });
    }

    /// Runs until every pod is gone.
    pub async fn run(mut self) -> Ended {
        let mut errors = Vec::new();
        while !self.workers.is_empty() {
            // Never closed: the loop holds a sender itself.
            let Some(event) = self.events.recv().await else { break };
            match event {
                Event::Stop => self.stop(),
                Event::Update(pod) => self.update(*pod),
                Event::Gone { uid, result } => {
                    let worker = self.workers.remove(&uid);
                    if let (Err(error), Some(Worker { pod, .. })) = (result, worker) {
                        errors.push(Error::in_step(format!("pod {}", pod.key))(error));
                    }
                }
            }
        }
        Ended { stops: self.stops, errors }
    }

    /// A pod that is on its way out stays as it is.
    fn update(&mut self, pod: Pod) {
        let mut workers = self.workers.values_mut();
        let worker = workers.find(|worker| worker.pod.key == pod.key).filter(|_| self.stops == 0);
        if let Some(worker) = worker {
            // The uid of an edited manifest may be another one.
            worker.pod = Arc::new(Pod { uid: worker.pod.uid.clone(), ..pod });
            let _ = worker.orders.send(Order::Run(Arc::clone(&worker.pod)));
        }
    }

    fn stop(&mut self) {
        self.stops += 1;
        for worker in self.workers.values() {
            let grace =
                if self.stops > 1 { Duration::ZERO } else { worker.pod.spec.termination_grace_period };
            // A worker that has just ended needs no orders.
            let _ = worker.orders.send(Order::Terminate { grace });
        }
    }
}

impl Default for EventLoop {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[tokio::test]
    async fn the_first_stop_is_graceful_the_second_is_not_and_errors_name_their_pod() {
        let mut events = EventLoop::new();
        let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
        let (seen, mut orders) = mpsc::unbounded_channel();
        events.add(pod, |mut receiver| async move {
            for _ in 0..2 {
                receiver.changed().await.unwrap();
                seen.send(receiver.borrow_and_update().clone()).unwrap();
            }
            Err(Error("no luck".into()))
        });
        let sender = events.sender();
        let ended = tokio::spawn(events.run());
        for grace in [30, 0] {
            sender.send(Event::Stop).unwrap();
            let grace = Duration::from_secs(grace);
            assert_eq!(orders.recv().await, Some(Order::Terminate { grace }));
        }
        let ended = ended.await.unwrap();
        assert_eq!(ended, Ended { stops: 2, errors: vec![Error("pod default/web: no luck".into())] });
    }
}
