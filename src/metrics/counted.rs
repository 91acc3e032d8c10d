//! Counters and histograms by the values of their labels, for whoever comes along.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counters, one for each value of the labels that there has been.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    labels: [&'static str; N],
    values: Mutex<BTreeMap<[String; N], u64>>,
}

/// Histograms of durations, likewise.
#[derive(Debug)]
pub struct Histograms<const N: usize> {
    labels: [&'static str; N],
    bounds: &'static [f64],
    values: Mutex<BTreeMap<[String; N], Histogram>>,
}

/// How many durations were in each interval, and how long they were together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    /// One for each bound, and one for what is beyond the last.
    pub(super) counts: Vec<u64>,
    pub(super) sum: Duration,
}

impl<const N: usize> Counters<N> {
    /// None yet.
    pub fn new(labels: [&'static str; N]) -> Self {
        Self { labels, values: Mutex::default() }
    }

    /// Counts.
    pub fn add(&self, values: [&str; N], more: u64) {
        *locked(&self.values).entry(values.map(str::to_owned)).or_default() += more;
    }

    /// Forgets those whose label has this value.
    pub fn forget(&self, label: &str, value: &str) {
        let at = self.labels.iter().position(|known| *known == label);
        locked(&self.values).retain(|values, _| at.is_none_or(|at| values[at] != value));
    }

    pub(super) fn each(&self, mut tell: impl FnMut(&[(&str, &str)], u64)) {
        for (values, count) in locked(&self.values).iter() {
            tell(&pairs(self.labels, values), *count);
        }
    }
}

impl<const N: usize> Histograms<N> {
    /// None yet; `bounds` are in seconds, and grow.
    pub fn new(labels: [&'static str; N], bounds: &'static [f64]) -> Self {
        Self { labels, bounds, values: Mutex::default() }
    }

    /// Counts one duration.
    pub fn observe(&self, values: [&str; N], duration: Duration) {
        let mut all = locked(&self.values);
        let one = all.entry(values.map(str::to_owned)).or_default();
        one.counts.resize(self.bounds.len() + 1, 0);
        let seconds = duration.as_secs_f64();
        let interval = self.bounds.iter().position(|bound| seconds <= *bound);
        one.counts[interval.unwrap_or(self.bounds.len())] += 1;
        one.sum += duration;
    }

    pub(super) fn each(&self, mut tell: impl FnMut(&[(&str, &str)], &[f64], &Histogram)) {
        for (values, one) in locked(&self.values).iter() {
            tell(&pairs(self.labels, values), self.bounds, one);
        }
    }
}

fn pairs<'v, const N: usize>(
    labels: [&'static str; N],
    values: &'v [String; N],
) -> Vec<(&'static str, &'v str)> {
    labels.into_iter().zip(values.iter().map(String::as_str)).collect()
}

/// A panic elsewhere leaves counts behind that are whole.
fn locked<T>(values: &Mutex<T>) -> MutexGuard<'_, T> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}
