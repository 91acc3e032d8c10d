//! The uid of a pod whose manifest gives none: a hash of what it asks for, so that the same manifest is the same pod.

use k8s_openapi::api::core::v1 as k8s;
use sha2::{Digest, Sha256};

use super::id::{InvalidId, PodKey, PodUid};

impl PodUid {
    /// It was made from a manifest, so an edit of the manifest may have made another one: the API server's are of version 4.
    pub fn is_made(&self) -> bool {
        let bytes = self.as_str().as_bytes();
        bytes.len() == 36 && bytes[14] == b'8' && bytes.iter().filter(|byte| **byte == b'-').count() == 4
    }
}

/// A uid from the pod's name and its spec with all defaults filled in, shaped as a UUID of version 8 (RFC 9562).
///
/// Neither the file's name nor its formatting, comments, labels and annotations matter.
pub(super) fn of(key: &PodKey, spec: &k8s::PodSpec) -> Result<PodUid, InvalidId> {
    let text = serde_json::to_string(spec).map_err(|error| InvalidId(error.to_string()))?;
    let mut hash = Sha256::new();
    // No namespace or name has a NUL in it, so no two manifests give the same bytes.
    hash.update(format!("{}\0{}\0", key.namespace, key.name));
    hash.update(text);
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |range: std::ops::Range<usize>| -> String {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    [hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16)].join("-").parse()
}
