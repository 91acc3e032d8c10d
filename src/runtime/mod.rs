//! Carries the actions of `sync` out, and watches what becomes of them.
