//! What survives on disk: versioned records, written atomically.
