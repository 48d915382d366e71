//! Columns that grow by one event at a time, and from which the last one can be taken back.

use crate::dictionary::{Dictionary, EMPTY, FALSE, TRUE};
use crate::scan::{Cursor, Fit, Literal, Misfit};

/// What a value is on the wire: JsonType in stream_monitor/events.py.
pub mod json_type {
    pub const ABSENT: u8 = 0;
    pub const NULL: u8 = 1;
    pub const NUMBER: u8 = 2;
    pub const STRING: u8 = 4;
    pub const BOOL: u8 = 5;
}
use json_type::{ABSENT, BOOL, NULL, NUMBER, STRING};

const ROWS_FIRST: usize = 16;

/// The values of one signal. Behind the last row everything is as in a row that has none.
#[derive(Default)]
struct Column {
    types: Vec<u8>,
    numbers: Vec<f64>,
    texts: Vec<u32>,
}

/// The types that the rows of a column have; numbers and texts where any row has one.
pub struct Told<'a> {
    pub types: Types<'a>,
    pub numbers: Option<&'a [f64]>,
    pub texts: Option<&'a [u32]>,
}

pub enum Types<'a> {
    All(u8),
    Each(&'a [u8]),
}

impl Column {
    /// Read a value, which must be neither an array nor an object.
    #[inline(always)]
    fn read(
        &mut self,
        row: usize,
        cursor: &mut Cursor,
        dictionary: &mut Dictionary,
        room: &mut Vec<u8>,
    ) -> Fit<()> {
        if self.types[row] != ABSENT {
            // Of two of one name the last counts, and nothing of the first may be left.
            return Err(Misfit);
        }
        self.types[row] = match cursor.peek() {
            b'-' | b'0'..=b'9' => {
                at_row(&mut self.numbers, self.types.len(), row, cursor.number()?);
                NUMBER
            }
            b'"' => {
                let number = match cursor.short_text() {
                    Some(short) => dictionary.number_of_short(short),
                    None => dictionary.number(cursor.text()?.utf8(room)?),
                };
                at_row(&mut self.texts, self.types.len(), row, number);
                STRING
            }
            _ => match cursor.literal()? {
                Literal::Null => NULL,
                Literal::Bool(one) => {
                    at_row(&mut self.texts, self.types.len(), row, if one { TRUE } else { FALSE });
                    BOOL
                }
            },
        };
        Ok(())
    }

    /// Numbers and texts are as long as the types, or not there at all.
    fn grow(&mut self, rows: usize) {
        self.types.resize(rows, ABSENT);
        if !self.numbers.is_empty() {
            self.numbers.resize(rows, 0.0);
        }
        if !self.texts.is_empty() {
            self.texts.resize(rows, EMPTY);
        }
    }

    /// Make these rows as if they had never been.
    fn forget(&mut self, first: usize, end: usize) {
        forget(&mut self.types, first, end, ABSENT);
        forget(&mut self.numbers, first, end, 0.0);
        forget(&mut self.texts, first, end, EMPTY);
    }

    fn told(&self, rows: usize) -> Told<'_> {
        let types = &self.types[..rows];
        let first = types.first().copied().unwrap_or(ABSENT);
        let differing = types.iter().fold(0, |found, one| found | (one ^ first));
        let seen =
            if differing == 0 { 1 << first } else { types.iter().fold(0u8, |found, one| found | (1 << one)) };
        Told {
            types: if differing == 0 { Types::All(first) } else { Types::Each(types) },
            numbers: (seen & (1 << NUMBER) != 0).then(|| &self.numbers[..rows]),
            texts: (seen & (1 << STRING | 1 << BOOL) != 0).then(|| &self.texts[..rows]),
        }
    }
}

#[inline(always)]
fn at_row<T: Default + Clone>(values: &mut Vec<T>, size: usize, row: usize, value: T) {
    if values.is_empty() {
        values.resize(size, T::default());
    }
    values[row] = value;
}

fn forget<T: Copy>(values: &mut [T], first: usize, end: usize, nothing: T) {
    let end = end.min(values.len());
    if first < end {
        values[first..end].fill(nothing);
    }
}

/// Columns of one length. The buffers are used again and again.
pub struct Table {
    columns: Vec<Column>,
    size: usize,
}

impl Table {
    pub fn new(width: usize) -> Self {
        Table { columns: (0..width).map(|_| Column::default()).collect(), size: 0 }
    }

    /// Make room for one more row than these.
    #[inline(always)]
    pub fn reserve(&mut self, rows: usize) {
        if rows >= self.size {
            self.size = ROWS_FIRST.max(2 * self.size);
            for column in &mut self.columns {
                column.grow(self.size);
            }
        }
    }

    #[inline(always)]
    pub fn read(
        &mut self,
        column: usize,
        row: usize,
        cursor: &mut Cursor,
        dictionary: &mut Dictionary,
        room: &mut Vec<u8>,
    ) -> Fit<()> {
        self.columns[column].read(row, cursor, dictionary, room)
    }

    pub fn forget(&mut self, first: usize, end: usize) {
        for column in &mut self.columns {
            column.forget(first, end);
        }
    }

    /// How many cells there is memory for.
    pub fn cells(&self) -> usize {
        self.size * self.columns.len()
    }

    pub fn told(&self, rows: usize) -> impl Iterator<Item = Told<'_>> {
        self.columns.iter().map(move |column| column.told(rows))
    }
}
