//! Which texts mean something else when nothing quotes them: truths, numbers, times, nothing.
//!
//! Source: `resolve.go`, and `isBase60Float` of `encode.go`.

use jiff::civil::Date;

const WORDS: [&str; 39] = [
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// Whether it would be read as something else than a text.
pub(super) fn means_something(text: &str) -> bool {
    WORDS.contains(&text)
        || is_base_60(text)
        || match text.as_bytes().first() {
            Some(b'.') => is_float(text),
            Some(b'0'..=b'9' | b'+' | b'-') => {
                let digits = text.replace('_', "");
                is_time(text) || is_integer(&digits) || is_float(&digits)
            }
            _ => false,
        }
}

/// As Go reads integers of any base.
fn is_integer(text: &str) -> bool {
    let (sign, digits) = match text.as_bytes() {
        [sign @ (b'+' | b'-'), ..] => (Some(*sign), &text[1..]),
        _ => (None, text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return false;
    }
    // Without a sign up to what 64 bits hold, else half of that.
    let limit = match sign {
        None => u128::from(u64::MAX),
        Some(b'-') => 1 << 63,
        Some(_) => (1 << 63) - 1,
    };
    u128::from_str_radix(digits, base).is_ok_and(|number| number <= limit)
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, and within what 64 bits hold.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    has_digits
        && all_digits(whole)
        && all_digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`: numbers of YAML 1.1 that are still quoted for those who read them so.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let all = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let is_first = |part: &str| part.starts_with(|digit: char| digit.is_ascii_digit()) && all(part);
    let is_minute = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    whole.contains(':') && parts.next().is_some_and(is_first) && parts.all(is_minute) && all(fraction)
}

/// `2006-1-2`, alone or with a time: after a space without a zone, else with one.
fn is_time(text: &str) -> bool {
    let short = |text: &str| (1..=2).contains(&text.len()).then(|| text.parse::<i8>().ok()).flatten();
    let is_date = |text: &str| {
        let mut parts = text.splitn(3, '-');
        let (year, month, day) = (parts.next(), parts.next(), parts.next());
        let year = year.filter(|year| year.len() == 4).and_then(|year| year.parse().ok());
        let date = year.zip(month.and_then(short)).zip(day.and_then(short));
        date.is_some_and(|((year, month), day)| Date::new(year, month, day).is_ok())
    };
    let is_clock = |text: &str| {
        let (clock, fraction) =
            text.split_once('.').map_or((text, "0"), |(clock, fraction)| (clock, fraction));
        let parts: Vec<Option<i8>> = clock.split(':').map(short).collect();
        let is_in_range = matches!(parts[..], [Some(0..=23), Some(0..=59), Some(0..=59)]);
        is_in_range && !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit())
    };
    if text.bytes().any(|byte| !byte.is_ascii_digit() && !b"-:.TtZ+ ".contains(&byte)) {
        return false;
    }
    if let Some((date, clock)) = text.split_once(' ') {
        return is_date(date) && is_clock(clock);
    }
    let Some((date, rest)) = text.split_once(['T', 't']) else { return is_date(text) };
    let clock = rest.strip_suffix('Z').or_else(|| {
        let (clock, zone) = rest.split_at_checked(rest.len().checked_sub(6)?)?;
        let is_zone = |zone: &str| matches!(zone.as_bytes(), [b'+' | b'-', _, _, b':', _, _]);
        let is_in_range = |zone: &str| short(&zone[1..3]) <= Some(24) && short(&zone[4..6]) < Some(60);
        (is_zone(zone) && is_in_range(zone)).then_some(clock)
    });
    is_date(date) && clock.is_some_and(is_clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_something_else_is_told() {
        for text in [
            "",
            "~",
            "null",
            "yes",
            "Off",
            "n",
            "true",
            ".inf",
            "-.INF",
            "1",
            "-1",
            "+1",
            "1_000",
            "010",
            "08",
            "0x1F",
            "0b101",
            "-0b1",
            "0o17",
            "1.",
            "1.5",
            ".5",
            "1e3",
            "-1E-3",
            "18446744073709551615",
            "99999999999999999999",
            "1:30",
            "190:20:30.15",
            "2006-1-2",
            "2026-11-26",
            "2026-11-26T01:59:52Z",
            "2026-11-26t1:5:2.5+02:00",
            "2026-11-26 01:59:52.25",
        ] {
            assert!(means_something(text), "{text:?}");
        }
        for text in [
            "a",
            "Yep",
            "nULL",
            "1.2.3",
            "10.85.0.2",
            "1Gi",
            "100m",
            "1e",
            "e3",
            ".",
            "..",
            ".5.",
            "0x",
            "0xg",
            "0b2",
            "+",
            "-",
            "1:60",
            ":30",
            "1:",
            "8080:",
            "2026-13-1",
            "2026-2-30",
            "20260-1-1",
            "2026-11-26T25:00:00Z",
            "2026-11-26T01:59:52",
            "1e999",
            "sha256:12",
            "-a",
            "+x",
            "2026-11-26 01:59",
            "::1",
            "fe80::1",
            "<<",
        ] {
            assert!(!means_something(text), "{text:?}");
        }
    }
}
