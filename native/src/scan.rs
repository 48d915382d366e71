//! One JSON document, read from left to right.
//!
//! Accepted is less than JSON allows, and nothing that orjson would refuse or read otherwise: what is
//! left is a `Misfit`, for the general path to judge.

use crate::text::{special, special_in, unescape, Text};
use crate::words::{is_ascii, masked, sixteen_at};

/// An event that is left to the general path. Why is for that path to say.
#[derive(Debug)]
pub struct Misfit;

pub type Fit<T> = Result<T, Misfit>;

/// Nested deeper than this is a misfit: far below what the general path refuses.
const DEPTH_MAX: usize = 32;

/// A value that is written as a word.
pub enum Literal {
    Null,
    Bool(bool),
}

/// A place in a document.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    pub data: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a document.
    pub fn of(data: &'a [u8]) -> Fit<Self> {
        if !is_ascii(data) && std::str::from_utf8(data).is_err() {
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

    #[inline(always)]
    pub fn take_byte(&mut self, byte: u8) -> bool {
        if self.peek() != byte {
            return false;
        }
        self.at += 1;
        true
    }

    #[inline(always)]
    pub fn skip_space(&mut self) {
        if self.peek() <= b' ' {
            self.at = behind_space(*self);
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
        if self.peek() == b',' {
            self.at += 1;
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

    /// A string of at most fifteen bytes that stands here as it is, zeros behind it. None, and nothing read,
    /// where it is longer, has escapes, or is none.
    #[inline(always)]
    pub fn short_text(&mut self) -> Option<u128> {
        let start = self.at + 1;
        let ahead = sixteen_at(self.data, start)?;
        let length = match special_in(ahead as u64) {
            Some(length) => length,
            None => 8 + special_in((ahead >> 64) as u64)?,
        };
        if self.peek() != b'"' || self.data[start + length] != b'"' {
            return None;
        }
        self.at = start + length + 1;
        Some(masked(ahead, length))
    }

    #[inline(always)]
    pub fn literal(&mut self) -> Fit<Literal> {
        match self.peek() {
            b'n' if self.take(b"null") => Ok(Literal::Null),
            b't' if self.take(b"true") => Ok(Literal::Bool(true)),
            b'f' if self.take(b"false") => Ok(Literal::Bool(false)),
            _ => Err(Misfit),
        }
    }

    /// Pass over any value. It is checked all the same: what is no JSON is no event.
    #[inline(always)]
    pub fn skip(&mut self) -> Fit<()> {
        self.at = behind_value(*self)?;
        Ok(())
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
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            _ => self.literal().map(|_| ()),
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

// These take a cursor by value: of one that is lent nothing could be kept in registers.

#[inline(never)]
fn behind_space(mut cursor: Cursor) -> usize {
    while matches!(cursor.peek(), b' ' | b'\n' | b'\r' | b'\t') {
        cursor.at += 1;
    }
    cursor.at
}

#[inline(never)]
fn behind_value(mut cursor: Cursor) -> Fit<usize> {
    cursor.skip_below(DEPTH_MAX)?;
    Ok(cursor.at)
}
