//! Usage as the API writes it and as `top` shows it.

use std::ops::AddAssign;

use serde_json::Value;

use crate::pod::quantity::Quantity;

/// What something uses, or has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Thousandths of a processor; what is less than one of them is one.
    pub(super) millicores: u64,
    pub(super) bytes: u64,
}

impl Usage {
    /// Of `{"cpu": "250m", "memory": "5Mi"}`. What is not there is none.
    pub(super) fn of(resources: &Value) -> Self {
        let quantity = |name: &str| {
            let text = resources[name].as_str();
            text.and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
        };
        Self { millicores: quantity("cpu").millis(), bytes: quantity("memory").units() }
    }

    /// The cells `250m` and `5Mi`.
    pub(super) fn cells(self) -> [String; 2] {
        [format!("{}m", self.millicores), format!("{}Mi", self.bytes >> 20)]
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.millicores += other.millicores;
        self.bytes += other.bytes;
    }
}

/// Of a whole, in percent, as a cell.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "<unknown>".to_owned(),
        _ => format!("{}%", u128::from(part) * 100 / u128::from(whole)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn processors_are_rounded_up_and_memory_down() {
        for (cpu, memory, expected) in [
            ("250000000n", "5120Ki", ["250m", "5Mi"]),
            ("1n", "5119Ki", ["1m", "4Mi"]),
            ("0n", "0Ki", ["0m", "0Mi"]),
            ("2", "3Gi", ["2000m", "3072Mi"]),
        ] {
            assert_eq!(Usage::of(&json!({"cpu": cpu, "memory": memory})).cells(), expected, "{cpu}");
        }
        assert_eq!(Usage::of(&json!({})), Usage::default());
    }

    #[test]
    fn a_part_of_nothing_is_unknown() {
        assert_eq!(percent(1, 3), "33%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100%");
        assert_eq!(percent(1, 0), "<unknown>");
    }
}
