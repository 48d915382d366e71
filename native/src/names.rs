//! Names of members, which come in the same order in event after event.

use crate::scan::{Cursor, Fit};

const WORD: usize = 8;

/// A name in its quotes, compared eight bytes at a time.
pub struct Quoted {
    bytes: Box<[u8]>,
    /// Words, and of each which bits count.
    words: Box<[(u64, u64)]>,
}

impl Quoted {
    pub fn new(name: &[u8]) -> Self {
        let bytes = [b"\"", name, b"\""].concat();
        let words = bytes.chunks(WORD).map(|chunk| (word(chunk), word(&vec![0xff; chunk.len()])));
        Quoted { words: words.collect(), bytes: bytes.into() }
    }

    pub fn name(&self) -> &[u8] {
        &self.bytes[1..self.bytes.len() - 1]
    }

    /// Whether a document goes on with this name; if so, read it, up to its value.
    #[inline(always)]
    pub fn take(&self, cursor: &mut Cursor) -> Fit<bool> {
        let found = match cursor.ahead(WORD * self.words.len()) {
            Some(bytes) => {
                let pairs = self.words.iter().zip(bytes.chunks_exact(WORD));
                pairs.fold(0, |differing, ((own, counts), chunk)| differing | ((word(chunk) ^ own) & counts))
                    == 0
            }
            None => cursor.ahead(self.bytes.len()) == Some(&self.bytes),
        };
        if found {
            cursor.pass(self.bytes.len());
            cursor.colon()?;
        }
        Ok(found)
    }
}

#[inline(always)]
fn word(chunk: &[u8]) -> u64 {
    match <[u8; WORD]>::try_from(chunk) {
        Ok(eight) => u64::from_le_bytes(eight),
        Err(_) => chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}
