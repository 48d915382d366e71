//! One JSON document, read from left to right.
//!
//! Accepted is less than JSON allows, and nothing that orjson would refuse or read otherwise: what is
//! left is a `Misfit`, for the general path to judge.

/// An event that is left to the general path. Why is for that path to say.
#[derive(Debug)]
pub struct Misfit;

pub type Fit<T> = Result<T, Misfit>;

/// Nested deeper than this is a misfit: far below what the general path refuses.
const DEPTH_MAX: usize = 32;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Beyond this a whole number is not always a float64.
const EXACT_MAX: u64 = 1 << 53;
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
const POWERS_OF_TEN_U64: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];
/// So many digits fit a u64 whatever they are.
const DIGITS_MAX: usize = 19;

/// What stands between the quotes of a string.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
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

/// A value that is neither an array nor an object. Zero has no sign.
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Text<'a>),
}

/// A place in a document.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a document.
    pub fn of(data: &'a [u8]) -> Fit<Self> {
        if !data.is_ascii() && std::str::from_utf8(data).is_err() {
            return Err(Misfit);
        }
        let mut cursor = Cursor { data, at: 0 };
        cursor.skip_space();
        Ok(cursor)
    }

    /// The byte here, 0 behind the end: a byte that JSON allows nowhere.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        self.data.get(self.at).copied().unwrap_or(0)
    }

    /// Whether what is left begins so. Goes on behind it if it does.
    #[inline(always)]
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        let found = self.data[self.at..].starts_with(bytes);
        if found {
            self.at += bytes.len();
        }
        found
    }

    /// What comes next, where there is as much.
    #[inline(always)]
    pub fn ahead(&self, length: usize) -> Option<&'a [u8]> {
        self.data.get(self.at..self.at + length)
    }

    /// Go on behind what was found ahead.
    #[inline(always)]
    pub fn pass(&mut self, length: usize) {
        self.at += length;
    }

    #[inline(always)]
    fn take_byte(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    pub fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Only white space may follow.
    pub fn end(&mut self) -> Fit<()> {
        self.skip_space();
        if self.at == self.data.len() {
            Ok(())
        } else {
            Err(Misfit)
        }
    }

    /// Step into an object; tell whether it has a member.
    #[inline(always)]
    pub fn first_member(&mut self) -> Fit<bool> {
        self.first(b'{', b'}')
    }

    /// Behind the value of a member; tell whether there is another.
    #[inline(always)]
    pub fn next_member(&mut self) -> Fit<bool> {
        self.next(b'}')
    }

    #[inline(always)]
    fn first(&mut self, open: u8, close: u8) -> Fit<bool> {
        if !self.take_byte(open) {
            return Err(Misfit);
        }
        self.skip_space();
        Ok(!self.take_byte(close))
    }

    #[inline(always)]
    fn next(&mut self, close: u8) -> Fit<bool> {
        self.skip_space();
        if self.take_byte(b',') {
            self.skip_space();
            return Ok(true);
        }
        if self.take_byte(close) {
            Ok(false)
        } else {
            Err(Misfit)
        }
    }

    /// The name of a member, which needs no unescaping, up to its value.
    #[inline(always)]
    pub fn name(&mut self) -> Fit<&'a [u8]> {
        let name = self.text()?;
        self.colon()?;
        if name.escaped {
            return Err(Misfit);
        }
        Ok(name.raw)
    }

    #[inline(always)]
    pub fn colon(&mut self) -> Fit<()> {
        self.skip_space();
        if !self.take_byte(b':') {
            return Err(Misfit);
        }
        self.skip_space();
        Ok(())
    }

    /// A string.
    #[inline(always)]
    pub fn text(&mut self) -> Fit<Text<'a>> {
        if !self.take_byte(b'"') {
            return Err(Misfit);
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = special(self.data, self.at);
            match self.peek() {
                b'"' => break,
                b'\\' if self.at + 1 < self.data.len() => {
                    escaped = true;
                    self.at += 2;
                }
                _ => return Err(Misfit),
            }
        }
        let raw = &self.data[start..self.at];
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    /// A value that is neither an array nor an object.
    #[inline(always)]
    pub fn scalar(&mut self) -> Fit<Scalar<'a>> {
        match self.peek() {
            b'"' => self.text().map(Scalar::Text),
            b'n' if self.take(b"null") => Ok(Scalar::Null),
            b't' if self.take(b"true") => Ok(Scalar::Bool(true)),
            b'f' if self.take(b"false") => Ok(Scalar::Bool(false)),
            _ => self.number().map(Scalar::Number),
        }
    }

    /// A number as the nearest float64, which must be finite.
    #[inline(always)]
    fn number(&mut self) -> Fit<f64> {
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
            // Both are exact, so their quotient is the nearest float64.
            let value = digits as f64 / POWERS_OF_TEN[decimals];
            return Ok(if negative { 0.0 - value } else { value });
        }
        self.exponent()?;
        self.nearest(start)
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

    /// Pass over any value. It is checked all the same: what is no JSON is no event.
    pub fn skip(&mut self) -> Fit<()> {
        self.skip_below(DEPTH_MAX)
    }

    fn skip_below(&mut self, depth: usize) -> Fit<()> {
        match self.peek() {
            b'{' if depth > 0 => {
                let mut more = self.first_member()?;
                while more {
                    self.skip_text()?;
                    self.colon()?;
                    self.skip_below(depth - 1)?;
                    more = self.next_member()?;
                }
                Ok(())
            }
            b'[' if depth > 0 => {
                let mut more = self.first(b'[', b']')?;
                while more {
                    self.skip_below(depth - 1)?;
                    more = self.next(b']')?;
                }
                Ok(())
            }
            b'"' => self.skip_text(),
            _ => self.scalar().map(|_| ()),
        }
    }

    fn skip_text(&mut self) -> Fit<()> {
        let text = self.text()?;
        if text.escaped {
            unescape(text.raw, &mut Vec::new())?;
        }
        Ok(())
    }
}

/// The eight bytes from there on, the first the lowest.
#[inline(always)]
fn word_at(data: &[u8], at: usize) -> Option<u64> {
    let eight = <[u8; 8]>::try_from(data.get(at..at + 8)?).ok()?;
    Some(u64::from_le_bytes(eight))
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

/// The first place from `at` on of a quote, a backslash or a control character; the end where there is none.
#[inline(always)]
fn special(data: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(data, at) {
        // Of each the lowest bit that is set is right, those above it need not be.
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (controls | zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c))) & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < data.len() && data[at] >= 0x20 && data[at] != b'"' && data[at] != b'\\' {
        at += 1;
    }
    at
}

/// The high bit of the lowest byte that is zero.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// Append what a string with escapes stands for. A surrogate without its other half stands for nothing.
#[cold]
fn unescape(raw: &[u8], room: &mut Vec<u8>) -> Fit<()> {
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
    let digits = raw
        .strip_prefix(b"\\u")
        .and_then(|rest| rest.get(..4))
        .ok_or(Misfit)?;
    digits.iter().try_fold(0, |code, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Misfit)?;
        Ok(code * 16 + digit)
    })
}
