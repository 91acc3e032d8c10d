//! An agent whose pods run, and the time of a processor that it takes for them, span by span.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::contestant::mkubelet::Directories;
use crate::cpu::used;

/// Time of a processor in equal spans, each as a share of its span.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// What it is about.
    pub name: String,
    /// Questions in a second.
    pub questions: usize,
    /// Of the agent, or of whoever asks.
    pub agent: Vec<f64>,
    /// Of the pods' shims and pauses together.
    pub shims: Vec<f64>,
}

impl Load {
    /// The median of all spans.
    pub fn median(spans: &[f64]) -> f64 {
        let mut sorted = spans.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// For the file.
    pub fn json(&self) -> Value {
        json!({
            "contestant": self.name,
            "questions_per_second": self.questions,
            "agent_median": Self::median(&self.agent),
            "agent": self.agent,
            "shims_median": Self::median(&self.shims),
            "shims": self.shims,
        })
    }
}

/// A measurement of so many pods, in so many spans.
#[derive(Debug, Clone)]
pub struct Measurement<'a> {
    /// The agent's binary.
    pub program: &'a Path,
    /// Its directories.
    pub directories: Directories,
    /// The image of the pods.
    pub rootfs: &'a Path,
    /// How many pods.
    pub pods: usize,
    /// How many spans.
    pub spans: usize,
    /// How long each is.
    pub span: Duration,
}

impl Measurement<'_> {
    /// Adds to `load` what the agent and all of its pods' shims and pauses use in each span.
    pub(crate) fn watch(&self, agent: u32, pods: &[u32], mut load: Load) -> Result<Load> {
        let of_pods = || pods.iter().map(|pid| used(*pid)).sum::<Result<Duration>>();
        for _ in 0..self.spans {
            let (begin, before) = (Instant::now(), (used(agent)?, of_pods()?));
            thread::sleep(self.span);
            let took = begin.elapsed().as_secs_f64();
            load.agent.push((used(agent)? - before.0).as_secs_f64() / took);
            load.shims.push((of_pods()? - before.1).as_secs_f64() / took);
        }
        Ok(load)
    }
}
