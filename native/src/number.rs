//! Numbers, to the last bit as orjson reads them.

use crate::scan::{Cursor, Fit, Misfit};
use crate::text::Text;
use crate::words::{word_at, HIGH, ONES};

/// Beyond this a whole number is not always a float64.
const EXACT_MAX: u64 = 1 << 53;
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
const POWERS_OF_TEN_U64: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// So many digits fit a u64 whatever they are.
const DIGITS_MAX: usize = 19;

impl<'a> Cursor<'a> {
    /// A number as the nearest float64, which must be finite.
    #[inline(always)]
    pub fn number(&mut self) -> Fit<f64> {
        // Most have no sign, and where the next value begins is known sooner without a look at it.
        let short = if self.peek() == b'-' { self.short_number::<1>() } else { self.short_number::<0>() };
        if let Some(value) = short {
            return Ok(value);
        }
        let (value, end) = self.long_number()?;
        self.at = end;
        Ok(value)
    }

    /// A number of at most seven bytes behind its SIGN, as most are, in one word and without a branch for its
    /// form. None, and nothing read, where it is longer, has an exponent, or is none.
    #[inline(always)]
    fn short_number<const SIGN: usize>(&mut self) -> Option<f64> {
        let word = word_at(self.data, self.at + SIGN)? ^ (ONES * 0x30);
        // The high bits of bytes above 9, and of bytes other than a point: right up to the first that is neither.
        let others = (word.wrapping_add(ONES * 0x76) | word) & HIGH;
        let no_point = word ^ (ONES * u64::from(b'.' ^ 0x30));
        let ends = others & (no_point.wrapping_add(ONES * 0x7f) | no_point);
        let end = ends.trailing_zeros() & !7;
        let points = others & !ends & ends.wrapping_sub(1);
        let whole = (others.trailing_zeros() & !7).min(end);
        let decimals = (end - whole) / 8;
        let behind = (word >> (end & 63)) as u8 ^ 0x30;
        let odd = (whole == 0) | (end == 64) | (decimals == 1) | (points & points.wrapping_sub(1) != 0);
        if odd | ((whole > 8) & (word as u8 == 0)) | (behind | 0x20 == b'e') {
            return None;
        }
        self.at += SIGN + (end / 8) as usize;
        // Without the point, and without what is behind the last digit.
        let point = 8 * u32::from(points != 0);
        let first = (1 << whole) - 1;
        let digits = (word & first) | (word >> point & !first);
        let digits = eight_digits(digits << ((64 + point - end) & 63)) as i64;
        // Both are exact, so their quotient is the nearest float64. Zero has no sign.
        let signed = if SIGN == 0 { digits } else { -digits };
        Some(signed as f64 / POWERS_OF_TEN[decimals.saturating_sub(1) as usize])
    }

    /// Any number, and where it ends.
    #[inline(never)]
    fn long_number(mut self) -> Fit<(f64, usize)> {
        let start = self.at;
        let negative = self.take_byte(b'-');
        let (mut digits, whole) = (0, self.at);
        self.digits(&mut digits)?;
        if self.at - whole > 1 && self.data[whole] == b'0' {
            return Err(Misfit);
        }
        let mut length = self.at - whole;
        let mut decimals = 0;
        if self.take_byte(b'.') {
            let point = self.at;
            self.digits(&mut digits)?;
            decimals = self.at - point;
            length += decimals;
        }
        let simple = length <= DIGITS_MAX && digits <= EXACT_MAX && decimals < POWERS_OF_TEN.len();
        if simple && !matches!(self.peek(), b'e' | b'E') {
            // Both are exact, as above.
            let value = digits as f64 / POWERS_OF_TEN[decimals];
            return Ok((if negative { 0.0 - value } else { value }, self.at));
        }
        self.exponent()?;
        Ok((self.nearest(start)?, self.at))
    }

    /// At least one digit, appended to `number` (which wraps around).
    #[inline(always)]
    fn digits(&mut self, number: &mut u64) -> Fit<()> {
        let start = self.at;
        while let Some(word) = word_at(self.data, self.at) {
            let word = word ^ (ONES * 0x30);
            // Of those bytes that are above 9 now the lowest is found for certain.
            let others = (word.wrapping_add(ONES * 0x76) | word) & HIGH;
            let count = (others.trailing_zeros() / 8) as usize;
            if count == 0 {
                break;
            }
            let digits = eight_digits(word << (64 - 8 * count));
            *number = number.wrapping_mul(POWERS_OF_TEN_U64[count]).wrapping_add(digits);
            self.at += count;
            if count < 8 {
                return Ok(());
            }
        }
        loop {
            let digit = self.peek().wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        if self.at == start {
            Err(Misfit)
        } else {
            Ok(())
        }
    }

    fn exponent(&mut self) -> Fit<()> {
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits(&mut 0)?;
        }
        Ok(())
    }

    #[cold]
    fn nearest(&self, start: usize) -> Fit<f64> {
        let text = std::str::from_utf8(&self.data[start..self.at]).map_err(|_| Misfit)?;
        let value: f64 = text.parse().map_err(|_| Misfit)?;
        if value.is_finite() {
            Ok(value + 0.0)
        } else {
            Err(Misfit)
        }
    }

    /// A whole number without a sign, below `end`.
    #[inline(always)]
    pub fn natural(&mut self, end: u64) -> Fit<u64> {
        let (mut number, start) = (0, self.at);
        self.digits(&mut number)?;
        let length = self.at - start;
        let zeros = length > 1 && self.data[start] == b'0';
        if zeros || length >= DIGITS_MAX || number >= end || matches!(self.peek(), b'.' | b'e' | b'E') {
            return Err(Misfit);
        }
        Ok(number)
    }

    /// A whole number that fits 64 bits as it would be written, which is how it stands here.
    pub fn integer(&mut self) -> Fit<Text<'a>> {
        let start = self.at;
        let negative = self.take_byte(b'-');
        let number = self.natural(u64::MAX)?;
        if negative && number == 0 {
            return Err(Misfit);
        }
        Ok(Text::of(&self.data[start..self.at]))
    }
}

/// The number of eight digits, each the value of a byte, the first the lowest: pairs, then fours, then all.
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    const FOURS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits * 10 + (digits >> 8);
    let high = (pairs & FOURS).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & FOURS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}
