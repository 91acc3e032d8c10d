//! `exec`: a program in the container, whose exit code says it.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, go_duration};
use crate::runtime::{Error, Runtime};

/// A program, ready to be run again and again.
#[derive(Debug)]
pub(crate) struct Question<R> {
    pub(crate) runtime: Arc<R>,
    pub(crate) container_id: String,
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Duration,
}

impl<R: Runtime> Question<R> {
    /// Asks once. The shim sees to it that this takes no longer than the timeout: then it kills the program and all that it
    /// has started.
    pub(crate) async fn ask(&self) -> Answer {
        let ran = self.runtime.exec(&self.container_id, &self.command, Some(self.timeout)).await;
        match ran {
            Ok(ran) if ran.exit.timed_out => Answer::Unhealthy(format!(
                "command timed out: {:?} timed out after {}",
                self.command.join(" "),
                go_duration(self.timeout)
            )),
            Ok(ran) if ran.exit.code == 0 => Answer::Healthy,
            Ok(ran) => Answer::Unhealthy(String::from_utf8_lossy(&ran.output).into_owned()),
            Err(error) => Answer::Unknown(Error::chain(&error).0),
        }
    }
}
