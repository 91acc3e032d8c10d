//! How many images are pulled at a time, and how often.

/// What pulls may take. The rules and their words are the kubelet's (`pkg/kubelet/apis/config/validation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimits {
    /// Images that are pulled at the same time; `None` is any number.
    pub at_once: Option<u32>,
    /// Pulls that may begin in a second; 0 is any number.
    pub per_second: u32,
    /// Pulls that may begin at once after a time without any.
    pub burst: u32,
}

/// A kubelet pulls one image after the other and begins five pulls in a second, and lets the others fail; with layers that are shared and
/// registries that say themselves when it is too much, neither is needed.
impl Default for PullLimits {
    fn default() -> Self {
        Self { at_once: Some(4), per_second: 0, burst: 10 }
    }
}

impl PullLimits {
    /// The same for what a person says of pulls at the same time: one after the other or not, and how many.
    pub fn with(self, serialize: Option<bool>, most: Option<u32>) -> Result<Self, &'static str> {
        let at_once = match (serialize, most) {
            (_, Some(0)) => return Err("maxParallelImagePulls 0 must be a positive number"),
            (Some(true), Some(2..)) => {
                return Err(
                    "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false",
                );
            }
            (_, Some(most)) => Some(most),
            (Some(true), None) => Some(1),
            (Some(false), None) => None,
            (None, None) => self.at_once,
        };
        Ok(Self { at_once, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_pulled_one_by_one_or_so_many_at_a_time() {
        let with = |serialize, most| PullLimits::default().with(serialize, most).map(|limits| limits.at_once);
        for (serialize, most, expected) in [
            (None, None, Ok(Some(4))),
            (Some(true), None, Ok(Some(1))),
            (Some(false), None, Ok(None)),
            (None, Some(9), Ok(Some(9))),
            (Some(false), Some(9), Ok(Some(9))),
            (Some(true), Some(1), Ok(Some(1))),
            (Some(true), Some(2), Err("maxParallelImagePulls cannot be larger than 1")),
            (None, Some(0), Err("maxParallelImagePulls 0 must be a positive number")),
        ] {
            match (with(serialize, most), expected) {
                (Err(told), Err(expected)) => assert!(told.starts_with(expected), "{told}"),
                (limits, expected) => assert_eq!(limits, expected, "{serialize:?} {most:?}"),
            }
        }
    }
}
