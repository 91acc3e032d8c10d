//! What comes of the actions, taken into what is known of the pod.

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;

use super::{KILL_AGAIN, Worker, on_one_line};
use crate::events::Event;
use crate::pod::ContainerName;
use crate::runtime::observe::{ERR_IMAGE_PULL, Held, PostStart, Pull, Sandbox, StopStep};
use crate::runtime::{Error, NoSandbox, NotStarted, Pulled, Refusal, Runtime};
use crate::state::record::Given;
use crate::sync::plan::Intent;
use crate::sync::{resize, restart};

/// What the attempt before had, where that is not what the pod asks for now.
pub(super) struct Last {
    pub(super) given: Option<Given>,
    pub(super) image: Option<String>,
}

/// What came of an action.
pub(super) enum Done {
    Sandbox(Result<Option<Ipv4Addr>, NoSandbox>),
    Start(ContainerName, Box<Last>, Result<(), NotStarted>),
    Pull(ContainerName, String, Result<Pulled, Refusal>),
    PostStart(ContainerName, String, Result<(), Error>),
    PreStop(ContainerName, String, Result<(), Error>),
    Stop(ContainerName, Result<(), Error>),
    Resize(Result<(), Error>),
    Kill(ContainerName, Result<(), Error>),
    Reset(Result<(), Error>),
}

impl Done {
    pub(super) fn has_failed(&self) -> bool {
        match self {
            Self::Sandbox(result) => result.is_err(),
            Self::Start(_, _, result) => matches!(result, Err(NotStarted::Refused(_))),
            Self::Pull(_, _, result) => result.is_err(),
            Self::PostStart(_, _, result)
            | Self::PreStop(_, _, result)
            | Self::Stop(_, result)
            | Self::Resize(result)
            | Self::Kill(_, result)
            | Self::Reset(result) => result.is_err(),
        }
    }
}

impl<R: Runtime> Worker<R> {
    /// Takes in what came of an action, after all that happened before.
    pub(super) fn finish(&mut self, done: Done) {
        self.take_notices();
        let now = Timestamp::now();
        match done {
            Done::Sandbox(result) => self.sandbox_made(result, now),
            Done::Start(name, last, result) => {
                let is_ready = matches!(self.observed.sandbox, Sandbox::Ready { .. });
                let container = self.observed.container_mut(&name);
                container.starting = false;
                if result.is_err() {
                    // It still has to be started for the same reason.
                    container.given = last.given.or(container.given.take());
                    container.old_image = last.image.or(container.old_image.take());
                }
                match result {
                    Err(NotStarted::NoImage(image)) => container.pull = Pull::Due(image),
                    // If the sandbox went away meanwhile, there will be another one, and another start.
                    Err(NotStarted::Refused(Refusal { reason, message })) if is_ready => {
                        container.held = Some(Held::again(container.held.as_ref(), reason, message, now));
                    }
                    _ => {}
                }
                self.save();
            }
            Done::Pull(name, image, result) => self.pulled(&name, image, result, now),
            Done::PostStart(name, id, result) => {
                let container = self.observed.container_mut(&name);
                // An attempt that has ended meanwhile needs no hook any more.
                if container.running().is_some_and(|running| running.id == id) {
                    container.post_start = match result {
                        Ok(()) => PostStart::Done,
                        Err(error) => {
                            tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, containerName = %name, error = %on_one_line(&error), "FailedPostStartHook");
                            self.publisher.happened(Event::post_start_failed(&self.pod, &name));
                            PostStart::Failed(error.0)
                        }
                    };
                }
            }
            Done::PreStop(name, id, result) => {
                if let Err(error) = result {
                    tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, containerName = %name, error = %on_one_line(&error), "FailedPreStopHook");
                    self.publisher.happened(Event::pre_stop_failed(&self.pod, &name));
                }
                let container = self.observed.container_mut(&name);
                let is_same = container.running().is_some_and(|running| running.id == id);
                if let Some(stopping) = &mut container.stopping
                    && is_same
                    && stopping.step == StopStep::PreStop
                {
                    stopping.step = StopStep::PreStopDone;
                }
            }
            Done::Stop(name, Err(error)) => {
                tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, containerName = %name, %error, "cannot send the stop signal");
            }
            Done::Kill(name, Err(error)) => {
                tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, containerName = %name, %error, "cannot kill");
                let again_at = restart::after(now, KILL_AGAIN);
                if let Some(stopping) = &mut self.observed.container_mut(&name).stopping {
                    stopping.step = StopStep::KillFailed { again_at };
                }
            }
            Done::Resize(result) => {
                if let Err(error) = &result {
                    tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, %error, "ResizeError");
                }
                resize::end(&self.pod, result.map_err(|error| error.0), now, &mut self.observed);
                if let Some(next) = self.next.take() {
                    self.follow(next);
                }
            }
            Done::Reset(result) => {
                self.observed.resetting = false;
                if let Err(error) = result {
                    tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, %error, "cannot begin anew");
                    self.observed.next_round = Some(restart::next_round(now));
                }
            }
            Done::Stop(_, Ok(())) | Done::Kill(_, Ok(())) => {}
        }
    }

    /// What came of a pull: what was waited for can be started, or will be tried again.
    fn pulled(
        &mut self,
        name: &ContainerName,
        image: String,
        result: Result<Pulled, Refusal>,
        now: Timestamp,
    ) {
        let container = self.observed.container_mut(name);
        if container.pull != Pull::UnderWay(image.clone()) {
            // The pod has come to ask for another.
            return;
        }
        match result {
            Ok(pulled) => {
                container.pull = Pull::None;
                container.held.take_if(|held| held.reason == ERR_IMAGE_PULL);
                self.publisher.pulled(name, Event::pulled(&self.pod, name, &image, &pulled));
            }
            Err(Refusal { reason, message }) => {
                tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, containerName = %name, image, error = message, "Failed to pull image");
                self.publisher.happened(Event::pull_failed(&self.pod, name, &image, &message));
                container.held = Some(Held::again(container.held.as_ref(), reason, message, now));
                container.pull = Pull::Due(image);
            }
        }
    }

    fn sandbox_made(&mut self, result: Result<Option<Ipv4Addr>, NoSandbox>, now: Timestamp) {
        self.observed.creating = false;
        let nothing_ran = self.observed.containers_started() == 0;
        match result {
            Ok(address) => {
                self.observed.address = address;
                self.observed.sandbox_failure = None;
                self.observed.connected = matches!(self.observed.sandbox, Sandbox::Ready { .. });
            }
            // It was made, and killed before anybody could use it: there will be another one.
            Err(NoSandbox::Node(error) | NoSandbox::ThisTime(error))
                if matches!(self.observed.sandbox, Sandbox::Lost { .. }) =>
            {
                tracing::info!(pod = %self.pod.key, podUID = %self.pod.uid, %error, "the pod's sandbox is gone");
            }
            // Nothing of it has ever run: the person who asked for it is there to mend it.
            Err(NoSandbox::Node(error))
                if nothing_ran && self.habits.retire && self.intent == Intent::Run =>
            {
                self.failure = Some(error);
                self.intent = self.intent.terminate(now, Duration::ZERO);
            }
            Err(NoSandbox::Node(error) | NoSandbox::ThisTime(error)) => {
                tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, %error, "FailedCreatePodSandBox");
                self.publisher.happened(Event::sandbox_failed(&error.0));
                let before = self.observed.sandbox_failure.as_ref();
                let held = Held::again(before, "FailedCreatePodSandBox", error.0, now);
                self.observed.sandbox_failure = Some(held);
            }
        }
    }
}
