//! What survives on disk: versioned records, written atomically.

pub mod boot;
pub mod record;
pub mod replace;
pub mod store;
