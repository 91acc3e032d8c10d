//! What a plain scalar means. The rules are those of the YAML library in Kubernetes (YAML 1.1 with a few exceptions), so
//! that a manifest means here what it means to kubectl: `yes` is a boolean, `0644` is octal, `1_000` is a number.

use super::Value;

/// The value of a scalar without quotes and tag.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            Value::Bool(false)
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    integer(&plain).map(Value::Int).or_else(|| float(&plain).map(Value::Float))
}

/// Decimal, or with the prefix `0x`, `0o`, `0b`, or octal with a leading `0`.
fn integer(plain: &str) -> Option<i64> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // A second sign, which the standard library would take.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// A decimal number with at least a digit before its exponent.
fn float(plain: &str) -> Option<f64> {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let mantissa = unsigned.split(['e', 'E']).next()?;
    let is_decimal = mantissa.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && mantissa.bytes().any(|byte| byte.is_ascii_digit());
    is_decimal.then(|| plain.parse().ok())?.filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubectl() {
        let text = |text: &str| Value::String(text.to_owned());
        for (plain, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("nil", text("nil")),
            ("true", Value::Bool(true)),
            ("off", Value::Bool(false)),
            ("yEs", text("yEs")),
            ("0", Value::Int(0)),
            ("80", Value::Int(80)),
            ("-80", Value::Int(-80)),
            ("+80", Value::Int(80)),
            ("1_000", Value::Int(1000)),
            ("0644", Value::Int(0o644)),
            ("0o644", Value::Int(0o644)),
            ("0x1F", Value::Int(31)),
            ("0b11", Value::Int(3)),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            ("0.5", Value::Float(0.5)),
            (".5", Value::Float(0.5)),
            ("5.", Value::Float(5.0)),
            ("1e3", Value::Float(1000.0)),
            ("089", Value::Float(89.0)),
            ("1.2.3", text("1.2.3")),
            ("127.0.0.1", text("127.0.0.1")),
            ("100m", text("100m")),
            ("64Mi", text("64Mi")),
            ("--5", text("--5")),
            ("-", text("-")),
            (".", text(".")),
            ("0x", text("0x")),
            ("0x-1", text("0x-1")),
            ("1e", text("1e")),
            ("2026-11-21", text("2026-11-21")),
            ("1:30", text("1:30")),
            ("infinity", text("infinity")),
            ("1e999", text("1e999")),
        ] {
            assert_eq!(resolve(plain), value, "{plain:?}");
        }
    }
}
