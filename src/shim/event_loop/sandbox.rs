//! The pod's namespaces in the loop: pause, from its start to its end.

use super::super::connection::Caller;
use super::super::container::exit_of;
use super::super::diagnostics::say;
use super::super::protocol::{Event, Reply, SandboxConfig};
use super::super::sandbox::{self, Phase, Sandbox};
use super::{Error, Shim, Wake, reap};
use crate::container::create::read_report;
use crate::container::failure::Failure;

impl Shim {
    pub(super) fn create_sandbox(&mut self, caller: Caller, config: &SandboxConfig) -> Result<(), Error> {
        if self.ending.is_some() {
            self.reply(caller, Err("the pod is being ended".to_owned()), Vec::new());
            return Ok(());
        }
        self.sandbox_callers.push(caller);
        match &self.sandbox {
            Some(Sandbox { phase: Phase::Ready, .. }) => self.answer_sandbox_callers(None),
            Some(_) => {}
            None => match sandbox::start(config, &self.cgroups, &self.run_dir.join("shm")) {
                Ok(starting) => {
                    let token = self.poll.add(&starting.report, Wake::PauseReport)?;
                    let exit = self.poll.add(&starting.child.pidfd, Wake::PauseExit)?;
                    self.sandbox = Some(Sandbox {
                        child: starting.child,
                        exit,
                        phase: Phase::Starting { report: starting.report, token },
                        group: config.cgroup.clone(),
                        shared: sandbox::shared(config),
                        pids: config.pids,
                        user_namespace: starting.user_namespace,
                    });
                }
                Err(failure) => {
                    self.remove_group(&config.cgroup);
                    self.answer_sandbox_callers(Some(&failure));
                }
            },
        }
        Ok(())
    }

    pub(super) fn pause_reported(&mut self) -> Result<(), Error> {
        let Some(sandbox) = &mut self.sandbox else { return Ok(()) };
        let Phase::Starting { report, token } = &mut sandbox.phase else { return Ok(()) };
        let result = read_report(report);
        self.poll.remove(report, *token)?;
        match result {
            Ok(()) => {
                sandbox.phase = Phase::Ready;
                let pid = sandbox.child.pid;
                self.record(Event::SandboxStarted { pid })?;
                self.answer_sandbox_callers(None);
            }
            Err(failure) => sandbox.phase = Phase::Failed(failure),
        }
        Ok(())
    }

    pub(super) fn pause_exited(&mut self) -> Result<(), Error> {
        let Some(ended) = self.sandbox.as_ref().and_then(|sandbox| reap(&sandbox.child.pidfd)) else {
            return Ok(());
        };
        self.pause_reported()?;
        let Some(sandbox) = self.sandbox.take() else { return Ok(()) };
        self.poll.remove(&sandbox.child.pidfd, sandbox.exit)?;
        self.remove_group(&sandbox.group);
        if let Phase::Failed(failure) = &sandbox.phase {
            self.answer_sandbox_callers(Some(failure));
            return Ok(());
        }
        // What ran in the namespaces cannot be restarted into new ones while old ones live on.
        self.foresee_kill(|_| true);
        for group in self.containers.values().map(|container| container.group.clone()).collect::<Vec<_>>() {
            if let Err(text) = self.kill_group(&group) {
                say(text);
            }
        }
        self.record(Event::SandboxExited { exit: exit_of(ended, false) })?;
        // Who still waits for it hears of its end first.
        self.answer_sandbox_callers(None);
        for caller in std::mem::take(&mut self.late_callers) {
            self.reply(caller, Err("the sandbox ended".to_owned()), Vec::new());
        }
        Ok(())
    }

    fn answer_sandbox_callers(&mut self, failure: Option<&Failure>) {
        for caller in std::mem::take(&mut self.sandbox_callers) {
            let answer = match (failure, &self.sandbox) {
                (Some(failure), _) => Err(failure.to_string()),
                (None, None) => Err("the sandbox ended".to_owned()),
                (None, Some(sandbox)) => match sandbox.network_namespace() {
                    Ok(namespace) => Ok((sandbox.child.pid, namespace)),
                    // It was killed a moment ago: the answer comes with its exit.
                    Err(failure) if failure.errno == Some(libc::ENOENT) => {
                        self.sandbox_callers.push(caller);
                        continue;
                    }
                    Err(failure) => Err(failure.to_string()),
                },
            };
            match answer {
                Ok((pid, namespace)) => {
                    self.reply(caller, Ok(Reply::Sandbox { pid }), namespace.into_iter().collect());
                }
                Err(text) => self.reply(caller, Err(text), Vec::new()),
            }
        }
    }
}
