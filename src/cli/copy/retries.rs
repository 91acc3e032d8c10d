//! Copies out of a container that go on where they were: the archive is written once more, without what has come already.

use std::time::Duration;

use crate::cli::say;

/// Time before the next try: for an agent that is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is tried again, and how often it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retries {
    allowed: i64,
    done: i64,
}

impl Retries {
    /// None for 0, any number for less.
    pub(super) fn new(allowed: i64) -> Self {
        Self { allowed, done: 0 }
    }

    /// What writes the archive of a path from the byte after the first `bytes` on. A copy that is tried once needs no shell.
    pub(super) fn command(self, path: &str, bytes: u64) -> Vec<String> {
        let first = bytes.saturating_add(1).to_string();
        let command = match self.allowed {
            0 => vec!["tar", "cf", "-", path],
            // The path is an argument of the shell, and never a part of what it reads.
            _ => vec!["sh", "-c", "tar cf - \"$1\" | tail -c +\"$2\"", "sh", path, &first],
        };
        command.into_iter().map(str::to_owned).collect()
    }

    /// Whether to try again, in kubectl's words; returns when it is time to.
    pub(super) async fn again(&mut self, bytes: u64) -> anyhow::Result<bool> {
        let Self { allowed, done } = *self;
        if allowed >= 0 && done >= allowed {
            if allowed > 0 {
                say(&format!("Dropping out copy after {done} retries\n"))?;
            }
            return Ok(false);
        }
        self.done += 1;
        say(&format!("Resuming copy at {bytes} bytes, retry {}/{allowed}\n", self.done))?;
        tokio::time::sleep(PAUSE).await;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_copy_that_is_tried_again_needs_a_shell() {
        let command = |allowed, bytes| Retries::new(allowed).command("/tmp/a b", bytes);
        assert_eq!(command(0, 0), ["tar", "cf", "-", "/tmp/a b"]);
        assert_eq!(command(-1, 0)[4..], ["/tmp/a b", "1"]);
        assert_eq!(command(3, 512)[4..], ["/tmp/a b", "513"]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_tried_as_often_as_was_asked() {
        for (allowed, expected) in [(0, 0), (2, 2), (-1, 5)] {
            let (mut retries, mut count) = (Retries::new(allowed), 0);
            while count < 5 && retries.again(7).await.unwrap() {
                count += 1;
            }
            assert_eq!(count, expected, "{allowed}");
        }
    }
}
