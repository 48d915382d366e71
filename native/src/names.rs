//! Names of members, which come in the same order in event after event.

use crate::scan::Cursor;
use crate::words::{masked, sixteen_at, SIXTEEN};

/// A name in its quotes and with its colon, as it stands in a document.
pub struct Quoted {
    bytes: Box<[u8]>,
    /// The first sixteen bytes, or as many as there are, and which of their bits count.
    first: u128,
    counts: u128,
}

impl Quoted {
    pub fn new(name: &[u8]) -> Self {
        let bytes = [b"\"", name, b"\":"].concat();
        let mut first = [0; SIXTEEN];
        let length = bytes.len().min(SIXTEEN);
        first[..length].copy_from_slice(&bytes[..length]);
        Quoted { bytes: bytes.into(), first: u128::from_le_bytes(first), counts: masked(u128::MAX, length) }
    }

    pub fn name(&self) -> &[u8] {
        &self.bytes[1..self.bytes.len() - 2]
    }

    /// Whether a document goes on with this name and its colon at once; if so, read them, up to the value.
    #[inline(always)]
    pub fn take(&self, cursor: &mut Cursor) -> bool {
        let found = match sixteen_at(cursor.data, cursor.at) {
            Some(ahead) if (ahead ^ self.first) & self.counts != 0 => false,
            Some(_) if self.bytes.len() <= SIXTEEN => true,
            _ => cursor.data[cursor.at..].starts_with(&self.bytes),
        };
        if found {
            cursor.at += self.bytes.len();
            cursor.skip_space();
        }
        found
    }
}
