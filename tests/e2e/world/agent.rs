//! A `mkubelet agent` of a world, and the directory of its manifests.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Pod, Run, World};

/// The directory of manifests that a world's agents run.
pub(crate) struct Manifests(PathBuf);

/// A running `mkubelet agent`; its output is that of a [`Run`].
pub(crate) struct Agent {
    run: Run,
}

impl World {
    /// The directory that this world's agents run the manifests of.
    pub(crate) fn manifests(&self) -> Manifests {
        let path = self.path("manifests");
        fs::create_dir_all(&path).unwrap();
        Manifests(path)
    }

    /// Starts an agent.
    pub(crate) fn agent(&self) -> Agent {
        self.agent_in(&[])
    }

    /// Likewise, out of a binary that lies elsewhere.
    pub(crate) fn agent_of(&self, program: &Path) -> Agent {
        self.agent_by(self.mkubelet_of(program))
    }

    /// Likewise, with variables of the environment.
    pub(crate) fn agent_in(&self, environment: &[(&str, &str)]) -> Agent {
        let mut command = self.mkubelet();
        command.envs(environment.iter().copied());
        self.agent_by(command)
    }

    /// Likewise, by a command like [`World::mkubelet`].
    pub(crate) fn agent_by(&self, mut command: Command) -> Agent {
        command.args(["agent", "--max-pods=1000"]).arg("--manifests").arg(self.manifests().0);
        Agent { run: self.start(command) }
    }

    /// Starts an agent that has nothing but these flags, and this file as its standard input.
    pub(crate) fn agent_with(&self, flags: &[&str], stdin: Option<&Path>) -> Agent {
        let mut command = self.mkubelet();
        command.arg("agent").args(flags);
        let run = match stdin {
            Some(path) => Run::start_with(command, File::open(path).unwrap().into(), self.ledger_dir()),
            None => self.start(command),
        };
        Agent { run }
    }
}

impl Manifests {
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Puts a pod into a file named after it.
    pub(crate) fn put(&self, pod: &Pod) {
        self.put_text(&format!("{}.json", pod.name()), &pod.to_json());
    }

    /// Puts a text into a file, at once, as careful programs do.
    pub(crate) fn put_text(&self, file: &str, text: &str) {
        let temporary = self.path(&format!(".{file}"));
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.path(file)).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    /// Removes the manifests of all pods.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.0).unwrap() {
            let path = entry.unwrap().path();
            fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
        }
    }
}

impl Agent {
    /// SIGKILL, and reaps it. Returns what it printed.
    pub(crate) fn kill(self) -> String {
        self.run.kill()
    }

    /// Removes all manifests, waits until nothing is left of the pods, and ends the agent. Returns what it printed.
    pub(crate) fn clear(self, world: &World) -> super::Ended {
        world.manifests().clear();
        super::until("all pods to be gone", || world.pod_uids().is_empty().then_some(()));
        self.run.stop()
    }

    /// Waits until it has the run directory for itself.
    pub(crate) fn expect_lock(&self, world: &World) {
        let (lock, pid) = (world.run_dir().join("agent.lock"), self.pid().to_string());
        super::until("the agent's lock", || (fs::read_to_string(&lock).ok()?.trim() == pid).then_some(()));
    }

    /// SIGTERM; waits for a successful end.
    pub(crate) fn stop(self) -> super::Ended {
        self.run.stop()
    }

    /// Waits for its end, which nobody has asked for.
    pub(crate) fn wait(self) -> super::Ended {
        self.run.wait()
    }
}

impl Deref for Agent {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.run
    }
}
