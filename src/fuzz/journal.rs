//! The journal: understood up to its last whole line, or set aside; and once its losses are told, nothing is unfinished.

use jiff::Timestamp;

use crate::shim::journal::{Past, Replay, Unfinished, replay};
use crate::shim::protocol::Record;

pub(super) fn check(data: &[u8]) {
    let Replay::Understood(past) = replay(data).expect("memory can be read") else { return };
    let Past { length, last, unfinished } = past;
    let (whole, torn) = data.split_at(usize::try_from(length).expect("not longer than the input"));
    assert!(whole.is_empty() || whole.ends_with(b"\n"));
    assert!(!torn.contains(&b'\n'), "a whole line is never cut off");
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count() as u64, last, "a line is a record");

    let mut after = Unfinished::default();
    let records = whole.split_inclusive(|byte| *byte == b'\n').map(serde_json::from_slice::<Record>);
    records.for_each(|record| after.fold(&record.expect("a record").event));
    assert_eq!(after, unfinished);

    // The next shim writes down what was lost, and then the one after it finds nothing.
    let mut journal = whole.to_vec();
    for (event, seq) in unfinished.into_lost().zip(last + 1..) {
        let record = Record { seq, at: Timestamp::UNIX_EPOCH, event };
        serde_json::to_writer(&mut journal, &record).expect("a line");
        journal.push(b'\n');
    }
    match replay(&journal[..]).expect("memory can be read") {
        Replay::Understood(past) => {
            assert_eq!((past.length, past.unfinished), (journal.len() as u64, Unfinished::default()));
        }
        Replay::Corrupt => panic!("our own lines are understood"),
    }
}
