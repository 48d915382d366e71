//! Texts as numbers: the compiled side of the vocabulary that a codec has for its texts.

use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Codes of texts, as whoever owns the vocabulary gave them. Here they have numbers of their own until then.
pub struct Dictionary {
    numbers: HashMap<Box<[u8]>, u32, RandomState>,
    /// Some of the short texts with their numbers, each in the one place where it may be.
    short: Box<[(u128, u32); SHORT_KEPT]>,
    fresh: Vec<Box<[u8]>>,
    codes: Vec<i64>,
}

const SHORT_KEPT: usize = 1 << 10;

/// The numbers of texts that every dictionary has.
pub const EMPTY: u32 = 0;
pub const TRUE: u32 = 1;
pub const FALSE: u32 = 2;

impl Dictionary {
    pub fn new() -> Self {
        let mut dictionary = Dictionary {
            numbers: HashMap::default(),
            // No text but the empty one is all zeros: JSON has control characters escaped.
            short: Box::new([(0, EMPTY); SHORT_KEPT]),
            fresh: Vec::new(),
            codes: Vec::new(),
        };
        for (text, number) in [("", EMPTY), ("true", TRUE), ("false", FALSE)] {
            let given = dictionary.number(text.as_bytes());
            debug_assert_eq!(given, number);
        }
        dictionary
    }

    /// The number of a text without zeros of at most sixteen bytes, with zeros behind it.
    #[inline(always)]
    pub fn number_of_short(&mut self, text: u128) -> u32 {
        let place = place(text);
        let (known, number) = self.short[place];
        if known == text {
            return number;
        }
        let length = 16 - text.leading_zeros() / 8;
        let number = self.number(&text.to_le_bytes()[..length as usize]);
        self.short[place] = (text, number);
        number
    }

    pub fn number(&mut self, text: &[u8]) -> u32 {
        match self.numbers.get(text) {
            Some(number) => *number,
            None => self.add(text),
        }
    }

    #[cold]
    fn add(&mut self, text: &[u8]) -> u32 {
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.into(), number);
        self.fresh.push(text.into());
        number
    }

    /// The texts that have no code yet, in the order of their numbers.
    pub fn fresh(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.fresh.iter().map(|text| &text[..])
    }

    /// Take the codes of the fresh texts, which must be as many.
    pub fn name(&mut self, codes: &[i64]) {
        assert_eq!(codes.len(), self.fresh.len(), "a code for each text");
        self.codes.extend_from_slice(codes);
        self.fresh.clear();
    }

    /// The code of each number, of which none may be fresh.
    pub fn codes(&self) -> &[i64] {
        &self.codes
    }
}

/// Where a short text may be among those that are kept.
#[inline(always)]
fn place(short: u128) -> usize {
    let folded = (short as u64) ^ ((short >> 64) as u64).rotate_left(29);
    // 2^64 by the golden ratio, as Knuth hashes (The Art of Computer Programming 3, 6.4).
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SHORT_KEPT.ilog2())) as usize
}
