//! Quantities: exact, rounded up, and nothing that Kubernetes' syntax does not have.

use crate::pod::quantity::{InvalidQuantity, Quantity};

pub(super) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Quantity::parse(text) {
        Ok(quantity) => {
            let (units, millis) = (quantity.units(), quantity.millis());
            assert!(units <= i64::MAX as u64);
            assert!(millis == u64::MAX || units == millis.div_ceil(1000), "{text:?}: {units}, {millis}");
            assert!(!quantity.is_negative() || (units, millis) == (0, 0));
            assert!(!quantity.is_whole() || quantity.is_negative() || millis == units.saturating_mul(1000));
            assert!(
                text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eEinumkMGTPK".contains(&byte)),
                "{text:?}"
            );
            assert!(text.bytes().any(|byte| byte.is_ascii_digit()));
            if let Ok(number) = text.parse::<i64>() {
                assert_eq!(units, u64::try_from(number).unwrap_or(0), "{text:?}");
            }
            if !text.starts_with(['+', '-']) {
                let negative = Quantity::parse(&format!("-{text}")).expect("as much below zero");
                assert_eq!(negative.is_negative(), quantity > Quantity::ZERO, "{text:?}");
            }
        }
        Err(InvalidQuantity::Overflow) => {
            assert!(text.bytes().any(|byte| matches!(byte, b'1'..=b'9')), "{text:?}");
        }
        Err(InvalidQuantity::Syntax) => {
            assert!(text.parse::<u64>().is_err() || text.starts_with('+'), "{text:?}");
        }
    }
}
