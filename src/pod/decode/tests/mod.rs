//! Manifests and the verdicts on them.

mod bad;
mod good;
mod hostile;

use super::{decode, decode_allowing};
