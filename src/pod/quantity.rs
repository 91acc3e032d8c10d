//! Kubernetes' quantities: `100m`, `1.5`, `64Mi`, `1e3`, exactly, without floating point.

use std::cmp::Ordering;
use std::fmt;

/// The regular expression that the API server quotes when it refuses one.
const SYNTAX: &str = "quantities must match the regular expression \
                      '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Why text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// It does not look like one.
    #[error("{SYNTAX}")]
    Syntax,
    /// Its magnitude is beyond 2^63-1.
    #[error("must be less than or equal to 9223372036854775807")]
    Overflow,
}

/// A number with up to nine decimals, of at most 2^63-1; further decimals have been rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nanos: i128,
}

const NANOS: i128 = 1_000_000_000;

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0 };

    /// A thousandth.
    pub const MILLI: Self = Self { nanos: NANOS / 1000 };

    /// Reads a quantity as the API server does.
    pub fn parse(text: &str) -> Result<Self, InvalidQuantity> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (digits, suffix) = unsigned.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return Err(InvalidQuantity::Syntax);
        }
        let scale = Scale::parse(suffix).ok_or(InvalidQuantity::Syntax)?;
        let nanos = nanos(whole, fraction, scale)?;
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }

    /// Whole units, rounded up; 0 for a negative quantity.
    pub fn units(self) -> u64 {
        self.rounded_up(NANOS)
    }

    /// Thousandths, rounded up; 0 for a negative quantity, and at most `u64::MAX`.
    pub fn millis(self) -> u64 {
        self.rounded_up(NANOS / 1000)
    }

    /// Below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Without decimals.
    pub fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    fn rounded_up(self, unit: i128) -> u64 {
        let nanos = self.nanos.max(0);
        let rounded = nanos / unit + i128::from(nanos % unit != 0);
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    /// 10 to this power.
    Ten(i32),
    /// 2 to this power.
    Two(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "n" => Self::Ten(-9),
            "u" => Self::Ten(-6),
            "m" => Self::Ten(-3),
            "" => Self::Ten(0),
            "k" => Self::Ten(3),
            "M" => Self::Ten(6),
            "G" => Self::Ten(9),
            "T" => Self::Ten(12),
            "P" => Self::Ten(15),
            "E" => Self::Ten(18),
            "Ki" => Self::Two(10),
            "Mi" => Self::Two(20),
            "Gi" => Self::Two(30),
            "Ti" => Self::Two(40),
            "Pi" => Self::Two(50),
            "Ei" => Self::Two(60),
            _ => Self::Ten(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
        })
    }
}

/// `whole.fraction` times the scale, in billionths, rounded up.
fn nanos(whole: &str, fraction: &str, scale: Scale) -> Result<i128, InvalidQuantity> {
    let (factor, exponent) = match scale {
        Scale::Ten(exponent) => (1, i64::from(exponent)),
        Scale::Two(exponent) => (1_i128 << exponent, 0),
    };
    // The digits without the point, and the power of ten that the last of them stands for, in billionths.
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let dropped = digits.len() - digits.trim_end_matches('0').len();
    let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let power = exponent - length(fraction.len()) + length(dropped) + 9;
    let limit = i128::from(i64::MAX) * NANOS;

    // With more digits than these the number is too large, or the last ones are far below a billionth.
    let (kept, cut) = significant.split_at(significant.len().min(28));
    let power = power + length(cut.len());
    let number: i128 = kept.parse().map_err(|_| InvalidQuantity::Syntax)?;
    let number = number + i128::from(!cut.is_empty());

    let scaled = match u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10_i128.checked_pow(power)) {
        Some(ten) if power >= 0 => number.checked_mul(ten).and_then(|number| number.checked_mul(factor)),
        Some(ten) => number.checked_mul(factor).map(|number| number / ten + i128::from(number % ten != 0)),
        None if power >= 0 => None,
        None => Some(1),
    };
    match scaled.map(|nanos| (nanos, nanos.cmp(&limit))) {
        Some((nanos, Ordering::Less | Ordering::Equal)) => Ok(nanos),
        _ => Err(InvalidQuantity::Overflow),
    }
}

/// A quantity, written as Kubernetes writes one that it has computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Thousandths: `500m`, `2`.
    Millis(u64),
    /// Whole ones, in powers of 1024: `64Mi`.
    Bytes(u64),
}

impl Amount {
    /// How many thousandths, or whole ones.
    pub fn number(self) -> u64 {
        let (Self::Millis(number) | Self::Bytes(number)) = self;
        number
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        match *self {
            Self::Millis(millis) if millis % 1000 == 0 => write!(f, "{}", millis / 1000),
            Self::Millis(millis) => write!(f, "{millis}m"),
            Self::Bytes(bytes) => {
                let power = if bytes == 0 { 0 } else { bytes.trailing_zeros() / 10 };
                write!(f, "{}{}", bytes >> (power * 10), SUFFIXES[power as usize])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_a_quantity_is_read_exactly() {
        for (text, units, millis) in [
            ("0", 0, 0),
            ("1", 1, 1000),
            ("+1", 1, 1000),
            ("100m", 1, 100),
            ("1500m", 2, 1500),
            ("0.1", 1, 100),
            (".5", 1, 500),
            ("5.", 5, 5000),
            ("0.0001", 1, 1),
            ("1n", 1, 1),
            ("1u", 1, 1),
            ("0.1n", 1, 1),
            ("2k", 2000, 2_000_000),
            ("1M", 1_000_000, 1_000_000_000),
            ("1G", 1_000_000_000, 1_000_000_000_000),
            ("1T", 1_000_000_000_000, 1_000_000_000_000_000),
            ("1P", 1_000_000_000_000_000, 1_000_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000, u64::MAX),
            ("1Ki", 1024, 1_024_000),
            ("64Mi", 67_108_864, 67_108_864_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("1Ti", 1 << 40, 1000 << 40),
            ("1Pi", 1 << 50, 1000 << 50),
            ("1Ei", 1 << 60, u64::MAX),
            ("1e3", 1000, 1_000_000),
            ("1E3", 1000, 1_000_000),
            ("1e-3", 1, 1),
            ("12e+2", 1200, 1_200_000),
            ("0e999999999", 0, 0),
            ("1e-999999999", 1, 1),
            ("00000000000000000000000000000000000000001", 1, 1000),
            ("1.00000000000000000000000000000000000000000", 1, 1000),
            ("0.10000000000000000000000000000000000000001", 1, 101),
            ("9223372036854775807", i64::MAX as u64, u64::MAX),
            ("-5", 0, 0),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!((quantity.units(), quantity.millis()), (units, millis), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            " ",
            "x",
            "1x",
            "1 ",
            " 1",
            "1K",
            "1mi",
            "1ki",
            ".",
            "-",
            "+",
            "--1",
            "1..2",
            "1.2.3",
            "1e",
            "1e+",
            "1e1.5",
            "0x10",
            "1Mii",
            "1_000",
            "ü",
            "1e99999999999",
        ] {
            assert_eq!(Quantity::parse(text), Err(InvalidQuantity::Syntax), "{text:?}");
        }
        for text in ["9223372036854775808", "8Ei", "1e19", "1e999999999", "10E", &"9".repeat(1000)] {
            assert_eq!(Quantity::parse(text), Err(InvalidQuantity::Overflow), "{text:?}");
        }
    }

    #[test]
    fn quantities_compare_by_value() {
        let parse = |text| Quantity::parse(text).unwrap();
        assert_eq!(parse("1Ki"), parse("1024"));
        assert!(parse("100m") < parse("0.2"));
        assert!(parse("-1").is_negative());
    }
}
