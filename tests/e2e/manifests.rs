//! Manifests that cannot be accepted: every problem is told, with its place, and nothing is started.
