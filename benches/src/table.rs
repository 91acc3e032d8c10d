//! Figures, and how they are shown.

use std::time::Duration;

use serde_json::{Value, json};

/// What one contestant did in one discipline.
#[derive(Debug, Clone)]
pub struct Series {
    /// Who.
    pub name: String,
    /// Time of each pod from the order to its first answer.
    pub times: Vec<Duration>,
    /// From the first order to the last answer.
    pub total: Duration,
}

impl Series {
    /// The value that `percent` of the times do not exceed (nearest rank).
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// For the file.
    pub fn json(&self) -> Value {
        json!({
            "contestant": self.name,
            "median_ms": ms(self.percentile(50)),
            "p95_ms": ms(self.percentile(95)),
            "total_ms": ms(self.total),
            "times_ms": self.times.iter().copied().map(ms).collect::<Vec<_>>(),
        })
    }
}

/// What is compared with the first line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Pods one after another: the median of all.
    Median,
    /// Pods at once: the time until the last one answers.
    Total,
}

/// A table of one discipline, for people.
pub fn render(title: &str, measure: Measure, series: &[Series]) -> String {
    let measured = |series: &Series| match measure {
        Measure::Median => series.percentile(50),
        Measure::Total => series.total,
    };
    let mut text =
        format!("{title}\n{:<46}{:>11}{:>11}{:>12}{:>10}\n", "", "median", "p95", "total", "x floor");
    for one in series {
        let ratio = series.first().map_or(1.0, |floor| ms(measured(one)) / ms(measured(floor)));
        text += &format!(
            "{:<46}{:>8.1} ms{:>8.1} ms{:>9.1} ms{:>10.2}\n",
            one.name,
            ms(one.percentile(50)),
            ms(one.percentile(95)),
            ms(one.total),
            ratio
        );
    }
    text
}

/// Milliseconds, to the microsecond.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times = |count: u64| Series {
            name: String::new(),
            times: (1..=count).rev().map(Duration::from_millis).collect(),
            total: Duration::ZERO,
        };
        for (count, median, p95) in [(1, 1, 1), (2, 1, 2), (20, 10, 19), (50, 25, 48)] {
            assert_eq!(ms(times(count).percentile(50)), f64::from(median));
            assert_eq!(ms(times(count).percentile(95)), f64::from(p95));
        }
    }
}
