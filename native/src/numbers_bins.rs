//! Counts by bin, of one signal in one cell at a time.

use crate::numbers_pass::FINE_MAX;

const FINE_TO_BIN_BITS: i32 = 7;
const ROUND_UP: i32 = (1 << FINE_TO_BIN_BITS) - 1;
const ZERO_BIN: i32 = (FINE_MAX >> FINE_TO_BIN_BITS) + 1;
pub const BINS: usize = 2 * ZERO_BIN as usize + 1;

/// So many counts are looked at together.
const TOGETHER: usize = 64;
const ROOM: usize = BINS.next_multiple_of(TOGETHER);

/// Keys, ascending, and their counts.
#[derive(Default)]
pub struct Found {
    pub keys: Vec<i64>,
    pub counts: Vec<i64>,
}

impl Found {
    pub fn clear(&mut self) {
        self.keys.clear();
        self.counts.clear();
    }

    /// Move a count here.
    #[inline(always)]
    fn take(&mut self, key: i64, count: &mut u32) {
        self.keys.push(key);
        self.counts.push(i64::from(*count));
        *count = 0;
    }
}

/// Counts of all bins, each zero between two cells.
pub struct Histogram {
    counts: [u32; ROOM],
}

impl Histogram {
    pub fn new() -> Self {
        Histogram { counts: [0; ROOM] }
    }

    /// Count fine codes in their bins.
    #[inline(always)]
    pub fn add(&mut self, codes: &[i32]) {
        for code in codes {
            self.counts[bin(*code)] += 1;
        }
    }

    /// Move the counts of these codes, all since the last time, to ``found``; ``first`` is the key of bin 0.
    #[inline(always)]
    pub fn tell_few(&mut self, codes: &mut [i32], first: i64, found: &mut Found) {
        codes.sort_unstable();
        for bin in codes.iter().map(|code| bin(*code)) {
            if self.counts[bin] > 0 {
                found.take(first + bin as i64, &mut self.counts[bin]);
            }
        }
    }

    /// The same of all codes since the last time, of which this is the least and the greatest.
    #[inline(always)]
    pub fn tell_between(&mut self, least: i32, most: i32, first: i64, found: &mut Found) {
        for group in bin(least) / TOGETHER..bin(most) / TOGETHER + 1 {
            let place = group * TOGETHER;
            let counts: &mut [u32; TOGETHER] =
                (&mut self.counts[place..place + TOGETHER]).try_into().expect("as many");
            let mut left = occupied(counts);
            while left > 0 {
                let at = left.trailing_zeros() as usize;
                found.take(first + (place + at) as i64, &mut counts[at]);
                left &= left - 1;
            }
        }
    }
}

/// The places of those that are not zero, as bits. A branch for each could not be foretold.
#[inline(always)]
fn occupied(counts: &[u32; TOGETHER]) -> u64 {
    if counts.iter().fold(0, |any, count| any | *count) == 0 {
        return 0;
    }
    counts.iter().enumerate().fold(0, |bits, (at, count)| bits | u64::from(*count > 0) << at)
}

/// As bins_of in stream_monitor/summary/codes.py.
#[inline(always)]
fn bin(code: i32) -> usize {
    let sign = code >> 31;
    (((code + (ROUND_UP & !sign)) >> FINE_TO_BIN_BITS) + ZERO_BIN) as usize
}
