//! Strings as they stand in a document, and what they stand for.

use crate::scan::{Fit, Misfit};
use crate::words::{word_at, HIGH, ONES};

/// What stands between the quotes of a string.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub raw: &'a [u8],
    pub escaped: bool,
}

impl<'a> Text<'a> {
    pub fn of(raw: &'a [u8]) -> Self {
        Text { raw, escaped: false }
    }

    /// The text in UTF-8 where it stands here as it is.
    #[inline(always)]
    pub fn plain(&self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.raw)
    }

    /// The text in UTF-8; in `room` where it has to be unescaped.
    pub fn utf8<'b>(&self, room: &'b mut Vec<u8>) -> Fit<&'b [u8]>
    where
        'a: 'b,
    {
        if !self.escaped {
            return Ok(self.raw);
        }
        room.clear();
        unescape(self.raw, room)?;
        Ok(room)
    }
}

/// The first place from `at` on of a quote, a backslash or a control character; the end where there is none.
#[inline(always)]
pub fn special(data: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(data, at) {
        if let Some(place) = special_in(word) {
            return at + place;
        }
        at += 8;
    }
    while at < data.len() && data[at] >= 0x20 && data[at] != b'"' && data[at] != b'\\' {
        at += 1;
    }
    at
}

/// As above, of eight bytes.
#[inline(always)]
pub fn special_in(word: u64) -> Option<usize> {
    // Of each the lowest bit that is set is right, those above it need not be.
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let found = (controls | zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c))) & HIGH;
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

/// The high bit of the lowest byte that is zero.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// Append what a string with escapes stands for. A surrogate without its other half stands for nothing.
#[cold]
pub fn unescape(raw: &[u8], room: &mut Vec<u8>) -> Fit<()> {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' {
            room.push(raw[at]);
            at += 1;
            continue;
        }
        let plain = match raw.get(at + 1).ok_or(Misfit)? {
            b'u' => {
                at += push_code_point(&raw[at..], room)?;
                continue;
            }
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 0x08,
            b'f' => 0x0c,
            same @ (b'"' | b'\\' | b'/') => *same,
            _ => return Err(Misfit),
        };
        room.push(plain);
        at += 2;
    }
    Ok(())
}

/// Append the character of one or two \uXXXX; tell how long they are.
fn push_code_point(raw: &[u8], room: &mut Vec<u8>) -> Fit<usize> {
    let (mut code, mut length) = (code_unit(raw)?, 6);
    if (0xd800..0xdc00).contains(&code) {
        let low = code_unit(&raw[length..])?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(Misfit);
        }
        (code, length) = (0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), 12);
    }
    let character = char::from_u32(code).ok_or(Misfit)?;
    room.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(length)
}

fn code_unit(raw: &[u8]) -> Fit<u32> {
    let digits = raw.strip_prefix(b"\\u").and_then(|rest| rest.get(..4)).ok_or(Misfit)?;
    digits.iter().try_fold(0, |code, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Misfit)?;
        Ok(code * 16 + digit)
    })
}
