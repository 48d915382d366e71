//! Eight bytes at a time, as one number.

pub const ONES: u64 = 0x0101_0101_0101_0101;
pub const HIGH: u64 = 0x8080_8080_8080_8080;

/// The eight bytes from there on, the first the lowest.
#[inline(always)]
pub fn word_at(data: &[u8], at: usize) -> Option<u64> {
    let eight = <[u8; 8]>::try_from(data.get(at..at + 8)?).ok()?;
    Some(u64::from_le_bytes(eight))
}
