//! Eight bytes at a time, or sixteen, as one number.

pub const ONES: u64 = 0x0101_0101_0101_0101;
pub const HIGH: u64 = 0x8080_8080_8080_8080;

/// The eight bytes from there on, the first the lowest.
#[inline(always)]
pub fn word_at(data: &[u8], at: usize) -> Option<u64> {
    let eight = <[u8; 8]>::try_from(data.get(at..at + 8)?).ok()?;
    Some(u64::from_le_bytes(eight))
}

/// Whether no byte is beyond 127.
#[inline(always)]
pub fn is_ascii(data: &[u8]) -> bool {
    let Some(last) = data.last_chunk() else { return data.is_ascii() };
    // The last bytes once more, rather than those that are left one by one.
    let words = data.chunks_exact(8).map(|chunk| <[u8; 8]>::try_from(chunk).map_or(0, u64::from_le_bytes));
    words.fold(u64::from_le_bytes(*last), |found, word| found | word) & HIGH == 0
}

pub const SIXTEEN: usize = 16;

/// The sixteen bytes from there on, the first the lowest.
#[inline(always)]
pub fn sixteen_at(data: &[u8], at: usize) -> Option<u128> {
    data.get(at..)?.first_chunk().map(|bytes| u128::from_le_bytes(*bytes))
}

/// The first bytes of sixteen, up to all of them; zeros for the others.
#[inline(always)]
pub fn masked(bytes: u128, length: usize) -> u128 {
    bytes & MASKS[length]
}

const MASKS: [u128; SIXTEEN + 1] = {
    let mut masks = [0; SIXTEEN + 1];
    let mut length = 1;
    while length <= SIXTEEN {
        masks[length] = masks[length - 1] << 8 | 0xff;
        length += 1;
    }
    masks
};
