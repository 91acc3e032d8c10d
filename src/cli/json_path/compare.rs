//! Comparing two values, in filters: numbers with numbers, text with text.

use std::cmp::Ordering;

use serde_json::Value;

use super::Operator;

/// Whether it is so. Values of different types, and such as have no order, cannot be compared.
pub(super) fn is_true(left: &Value, operator: Operator, right: &Value) -> Result<bool, String> {
    if let (Value::Bool(left), Value::Bool(right)) = (left, right) {
        return match operator {
            Operator::Equal => Ok(left == right),
            Operator::NotEqual => Ok(left != right),
            _ => Err("invalid type for comparison".to_owned()),
        };
    }
    let order = order(left, right).ok_or("incompatible types for comparison")?;
    Ok(match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::GreaterOrEqual => order != Ordering::Less,
    })
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}
