//! The order of keys: numbers in them by their size, and letters last.

use std::cmp::Ordering;

/// Which key comes first.
///
/// Source: `sorter.go`, `keyList.Less`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else {
        return a.len().cmp(&b.len());
    };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A 0 that follows another digit than 0 is a digit like all others, and no leading zero.
    let before = a[..at].iter().rev().take_while(|digit| digit.is_ascii_digit());
    let is_in_number = (a[at] == '0' || b[at] == '0') && before.into_iter().any(|digit| *digit != '0');
    let number = |text: &[char]| {
        let digits: String = text[at..].iter().take_while(|character| character.is_ascii_digit()).collect();
        let value = digits.bytes().fold(i128::from(is_in_number), |value, digit| {
            value.saturating_mul(10).saturating_add(i128::from(digit - b'0'))
        });
        (value, digits.len())
    };
    number(&a).cmp(&number(&b)).then(a[at].cmp(&b[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_gos_order() {
        let in_order = [
            "", "-", ".a", "1", "2", "10", "A", "a", "a/b", "a1", "a2", "a02", "a10", "a100", "aB", "aa",
            "ab-c", "abc", "é",
        ];
        for (at, key) in in_order.iter().enumerate() {
            for later in &in_order[at + 1..] {
                assert_eq!(compare(key, later), Ordering::Less, "{key:?} {later:?}");
                assert_eq!(compare(later, key), Ordering::Greater, "{later:?} {key:?}");
            }
            assert_eq!(compare(key, key), Ordering::Equal);
        }
    }
}
