//! What survives on disk: versioned records, written atomically.

pub mod boot;
pub mod record;
pub mod store;
