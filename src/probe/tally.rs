//! Counts answers: only so many alike in a row change what is known.

use super::{Answer, Outcome};

/// The thresholds of one probe, and how far they are met.
#[derive(Debug)]
pub(crate) struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    /// Whether the last answers were healthy, and how many of them in a row.
    run: (bool, u32),
    /// What was last told.
    told: Option<bool>,
}

impl Tally {
    pub(crate) fn new(success_threshold: u32, failure_threshold: u32) -> Self {
        Self { success_threshold, failure_threshold, run: (true, 0), told: None }
    }

    /// Counts an answer; returns what it changes.
    pub(crate) fn count(&mut self, answer: Answer) -> Option<Outcome> {
        let outcome = match answer {
            Answer::Healthy | Answer::HealthyBut(_) => Outcome::Success,
            Answer::Unhealthy(message) => Outcome::Failure { message },
            // As the kubelet: neither counted nor breaking a run.
            Answer::Unknown(_) => return None,
        };
        let healthy = outcome == Outcome::Success;
        self.run = if self.run.0 == healthy { (healthy, self.run.1.saturating_add(1)) } else { (healthy, 1) };
        let threshold = if healthy { self.success_threshold } else { self.failure_threshold };
        if self.run.1 < threshold || self.told == Some(healthy) {
            return None;
        }
        self.told = Some(healthy);
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enough_answers_alike_in_a_row_change_the_verdict() {
        // Answers: + healthy, - not, ? not known. Verdicts: after each answer S, F or a dot for none.
        for (success, failure, answers, expected) in [
            (1, 3, "+", "S"),
            (1, 3, "---", "..F"),
            (1, 3, "+--+---", "S.....F"),
            (1, 3, "------", "..F..."),
            (1, 1, "-+-+", "FSFS"),
            (2, 1, "++-+++", ".SF.S."),
            (3, 2, "++-++-++--", ".........F"),
            (1, 3, "++++", "S..."),
            (1, 3, "?+?--?-??", ".S....F.."),
        ] {
            let mut tally = Tally::new(success, failure);
            let verdicts: String = answers
                .chars()
                .enumerate()
                .map(|(n, answer)| {
                    let answer = match answer {
                        '+' => Answer::Healthy,
                        '-' => Answer::Unhealthy(n.to_string()),
                        _ => Answer::Unknown(n.to_string()),
                    };
                    match tally.count(answer) {
                        None => '.',
                        Some(Outcome::Success) => 'S',
                        Some(Outcome::Missed { .. }) => '-',
                        Some(Outcome::Failure { message }) => {
                            assert_eq!(message, n.to_string(), "the last failure's message");
                            'F'
                        }
                    }
                })
                .collect();
            assert_eq!(verdicts, expected, "{success} {failure} {answers}");
        }
    }
}
