//! Which images go by themselves, and in which order: the image garbage collection of a kubelet. Pure; whoever collects asks the store.
//!
//! Source: <https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-garbage-collection>, KEP-4210.

use std::time::Duration;

use jiff::Timestamp;

/// When images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When so much of the disk is used, images go.
    high_percent: u64,
    /// Until no more than this is used.
    low_percent: u64,
    /// No image goes that came, or was used, less than this before.
    minimum_age: Duration,
    /// An image goes that was not used for longer; zero is never.
    maximum_age: Duration,
}

/// What of a kubelet holds when nobody says otherwise.
impl Default for Policy {
    fn default() -> Self {
        Self {
            high_percent: 85,
            low_percent: 80,
            minimum_age: Duration::from_secs(120),
            maximum_age: Duration::ZERO,
        }
    }
}

/// Why an image went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody has used it for long.
    Age,
    /// The disk had too little room.
    Space,
}

impl Reason {
    /// As the kubelet's metric has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Space => "space",
        }
    }
}

/// An image, by all that decides on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Digest of its manifest.
    pub image: String,
    /// Its names.
    pub names: Vec<String>,
    /// When it came, or had the last of its names.
    pub since: Timestamp,
    /// When it was last seen to be used; when it came, if it never was.
    pub last_used: Timestamp,
    /// A pod needs it.
    pub in_use: bool,
    /// It was imported or loaded: it may be that it cannot be had again.
    pub is_pinned: bool,
}

impl Policy {
    /// Checks what is asked for; errors are the kubelet's.
    pub fn new(high: i64, low: i64, minimum_age: Duration, maximum_age: Duration) -> Result<Self, String> {
        let percent = |name: &str, flag: &str, value: i64| {
            u64::try_from(value)
                .ok()
                .filter(|value| *value <= 100)
                .ok_or_else(|| format!("{name} ({flag}) {value} must be between 0 and 100, inclusive"))
        };
        let high_percent = percent("imageGCHighThresholdPercent", "--image-gc-high-threshold", high)?;
        let low_percent = percent("imageGCLowThresholdPercent", "--image-gc-low-threshold", low)?;
        if low_percent >= high_percent {
            return Err(format!(
                "imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be less than \
                 imageGCHighThresholdPercent (--image-gc-high-threshold) {high}"
            ));
        }
        if !maximum_age.is_zero() && maximum_age <= minimum_age {
            return Err(format!(
                "imageMaximumGCAge {maximum_age:?} must be greater than imageMinimumGCAge {minimum_age:?}"
            ));
        }
        Ok(Self { high_percent, low_percent, minimum_age, maximum_age })
    }

    /// Bytes to be freed of a disk; `None` when there is room. An error is that of a disk that has none at all.
    pub fn excess(&self, available: u64, capacity: u64) -> Result<Option<u64>, String> {
        if capacity == 0 {
            return Err("invalid capacity 0 on image filesystem".to_owned());
        }
        let [available, capacity] = [available.min(capacity), capacity].map(u128::from);
        let used = 100 - available * 100 / capacity;
        if used < u128::from(self.high_percent) {
            return Ok(None);
        }
        let to_be_left = capacity * u128::from(100 - self.low_percent) / 100;
        Ok(Some(u64::try_from(to_be_left.saturating_sub(available)).unwrap_or(u64::MAX)))
    }

    /// The images that may go, the one first that was not used for longest.
    pub fn candidates<'k>(&self, all: &'k [Kept], now: Timestamp) -> Vec<&'k Kept> {
        let is_old_enough = |kept: &Kept| {
            age(kept.since, now) >= self.minimum_age && age(kept.last_used, now) >= self.minimum_age
        };
        let may_go = |kept: &&Kept| !kept.in_use && !kept.is_pinned && is_old_enough(kept);
        let mut candidates: Vec<&Kept> = all.iter().filter(may_go).collect();
        candidates.sort_by_key(|kept| (kept.last_used, kept.since, &kept.image));
        candidates
    }

    /// Whether an image has to go, however much room there is.
    pub fn is_too_old(&self, kept: &Kept, now: Timestamp) -> bool {
        !self.maximum_age.is_zero() && age(kept.last_used.max(kept.since), now) > self.maximum_age
    }
}

/// What is of the future, since somebody has set the clock, is of now.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_disk_is_emptied_down_to_the_lower_threshold_when_the_higher_is_reached() {
        let policy = Policy::default();
        for (available, capacity, excess) in [
            (1000, 1000, None),
            (160, 1000, None),
            (151, 1000, Some(49)),
            (150, 1000, Some(50)),
            (0, 1000, Some(200)),
            (2000, 1000, None),
            (0, u64::MAX, Some(u64::MAX / 5)),
        ] {
            assert_eq!(policy.excess(available, capacity), Ok(excess), "{available} of {capacity}");
        }
        assert_eq!(policy.excess(0, 0).unwrap_err(), "invalid capacity 0 on image filesystem");
        let never = Policy::new(100, 80, Duration::ZERO, Duration::ZERO).unwrap();
        assert_eq!(never.excess(10, 1000), Ok(None));
    }

    #[test]
    fn images_go_in_the_order_of_their_last_use_and_none_that_somebody_needs() {
        let now = Timestamp::UNIX_EPOCH + minutes(1000);
        let kept = |image: &str, since: u64, last_used: u64, in_use, is_pinned| Kept {
            image: image.to_owned(),
            names: Vec::new(),
            since: now - minutes(since),
            last_used: now - minutes(last_used),
            in_use,
            is_pinned,
        };
        let future = Kept { last_used: now + minutes(5), ..kept("future", 90, 0, false, false) };
        let all = [
            kept("c: used lately", 900, 3, false, false),
            kept("used", 900, 900, true, false),
            kept("a: unused for long", 400, 300, false, false),
            kept("imported", 900, 900, false, true),
            kept("new", 1, 1, false, false),
            kept("b: as long, and came later", 350, 300, false, false),
            kept("used a moment ago", 900, 1, false, false),
            future,
        ];
        let order = |policy: &Policy| -> Vec<String> {
            policy.candidates(&all, now).iter().map(|kept| kept.image.clone()).collect()
        };
        assert_eq!(
            order(&Policy::default()),
            ["a: unused for long", "b: as long, and came later", "c: used lately"]
        );
        let patient = Policy::new(85, 80, minutes(360), Duration::ZERO).unwrap();
        assert_eq!(order(&patient), Vec::<String>::new());

        let forgetful = Policy::new(85, 80, minutes(2), minutes(300)).unwrap();
        for (last_used, expected) in [(299, false), (300, false), (301, true)] {
            assert_eq!(
                forgetful.is_too_old(&kept("i", 900, last_used, false, false), now),
                expected,
                "{last_used}"
            );
        }
        assert!(!Policy::default().is_too_old(&kept("i", 900, 900, false, false), now));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_the_kubelets_words() {
        let zero = Duration::ZERO;
        assert_eq!(Policy::new(85, 80, minutes(2), zero), Ok(Policy::default()));
        for (asked, reason) in [
            (
                Policy::new(101, 80, zero, zero),
                "imageGCHighThresholdPercent (--image-gc-high-threshold) 101 must be between 0 and 100, inclusive",
            ),
            (
                Policy::new(85, -1, zero, zero),
                "imageGCLowThresholdPercent (--image-gc-low-threshold) -1 must be between 0 and 100, inclusive",
            ),
            (
                Policy::new(80, 80, zero, zero),
                "imageGCLowThresholdPercent (--image-gc-low-threshold) 80 must be less than \
                 imageGCHighThresholdPercent (--image-gc-high-threshold) 80",
            ),
            (
                Policy::new(85, 80, Duration::from_secs(2), Duration::from_secs(1)),
                "imageMaximumGCAge 1s must be greater than imageMinimumGCAge 2s",
            ),
        ] {
            assert_eq!(asked.unwrap_err(), reason);
        }
    }
}
