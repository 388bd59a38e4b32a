//! SHA-256, as it stands in names, records and messages.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of bytes as lower-case hex, 64 characters.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as lower-case hex, two characters each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
