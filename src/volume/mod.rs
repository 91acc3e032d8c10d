//! Volumes of a pod: one file per kind, one table of handlers.
