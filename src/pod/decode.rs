//! From the bytes of a manifest to pods: parse, decode, default, validate.

use super::{Pod, Problems};

/// Decodes the Pods of a manifest, YAML or JSON, or says everything that is wrong with it. `file` is for the problems' text.
pub fn decode(bytes: &[u8], file: &str) -> Result<Vec<Pod>, Problems> {
    std::str::from_utf8(bytes).map_err(|_| Problems::of_file(file, "the file is not UTF-8"))?;
    Err(Problems::of_file(file, "no Pod in the file"))
}
