//! One JSON document, read from left to right.
//!
//! Accepted is less than JSON allows, and nothing that orjson would refuse or read otherwise: what is
//! left is a `Misfit`, for the general path to judge.

use crate::text::{special, unescape, Text};

/// An event that is left to the general path. Why is for that path to say.
#[derive(Debug)]
pub struct Misfit;

pub type Fit<T> = Result<T, Misfit>;

/// Nested deeper than this is a misfit: far below what the general path refuses.
const DEPTH_MAX: usize = 32;

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
    pub data: &'a [u8],
    pub at: usize,
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
    pub fn take_byte(&mut self, byte: u8) -> bool {
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
