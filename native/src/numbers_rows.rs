//! The rows of a cell, taken from the columns a chunk at a time.

use crate::numbers_bins::{Found, Histogram, BINS};
use crate::numbers_pass::{Asked, Said, CHUNK};
use pyo3::buffer::ReadOnlyCell;
use std::ops::Range;

/// So many codes are sorted sooner than looked for among all bins.
const FEW: usize = 20;

/// A column: numbers, and where not every row has one the types of rows, and by type whether it counts.
pub struct Numbers<'a> {
    pub signal: usize,
    pub numbers: &'a [ReadOnlyCell<f64>],
    pub types: Option<(&'a [ReadOnlyCell<u8>], &'a [u8])>,
}

/// Which rows of the columns are looked at, one after the other: so many from one on, or these.
pub enum Rows {
    From(usize, usize),
    Picked(Vec<u32>),
}

impl Rows {
    /// Columns must have so many rows.
    pub fn end(&self) -> usize {
        match self {
            Rows::From(start, rows) => start + rows,
            Rows::Picked(rows) => rows.iter().max().map_or(0, |row| *row as usize + 1),
        }
    }
}

/// The numbers of one signal in one cell: those of the rows at some places of the index.
pub struct Part<'a> {
    pub column: &'a Numbers<'a>,
    pub index: &'a Rows,
    pub places: Range<usize>,
    pub asked: &'a Asked,
}

/// What is used again for each of them.
pub struct Room {
    values: [f64; CHUNK],
    codes: [i32; CHUNK],
    histogram: Histogram,
}

impl Room {
    pub fn new() -> Self {
        Room { values: [0.0; CHUNK], codes: [0; CHUNK], histogram: Histogram::new() }
    }

    /// What the numbers there say. Their bins are added to ``bins``, by keys signal * BINS + bin.
    pub fn say(&mut self, part: Part<'_>, bins: &mut Found) -> Said {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: this processor has the instructions.
            return unsafe { self.say_by_eight(part, bins) };
        }
        self.say_plainly(part, bins)
    }

    /// The same with vectors twice as wide as every processor has. They calculate alike.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn say_by_eight(&mut self, part: Part<'_>, bins: &mut Found) -> Said {
        self.say_plainly(part, bins)
    }

    #[inline(always)]
    fn say_plainly(&mut self, part: Part<'_>, bins: &mut Found) -> Said {
        let Part { column, index, places, asked } = part;
        let (mut said, mut last) = (Said::nothing(), 0);
        for start in places.clone().step_by(CHUNK) {
            let size = self.take(column, index, start..places.end.min(start + CHUNK));
            last = said.add(&mut self.values[..size], &mut self.codes, asked);
            self.histogram.add(&self.codes[..last]);
        }
        let first = (column.signal * BINS) as i64;
        if places.len() <= FEW {
            self.histogram.tell_few(&mut self.codes[..last], first, bins);
        } else if let Some((least, most)) = said.codes() {
            self.histogram.tell_between(least, most, first, bins);
        }
        said
    }

    /// Take the numbers there into ``values``. How many there are.
    #[inline(always)]
    fn take(&mut self, column: &Numbers, index: &Rows, places: Range<usize>) -> usize {
        let size = places.len();
        match (index, column.types) {
            (Rows::From(start, _), None) => {
                let numbers = &column.numbers[start + places.start..start + places.end];
                self.values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number.get());
                size
            }
            (Rows::Picked(rows), None) => {
                let rows = self.values.iter_mut().zip(&rows[places]);
                rows.for_each(|(value, row)| *value = column.numbers[*row as usize].get());
                size
            }
            (Rows::From(start, _), Some(types)) => {
                self.take_counted(column, types, start + places.start..start + places.end)
            }
            (Rows::Picked(rows), Some(types)) => {
                self.take_counted(column, types, rows[places].iter().map(|row| *row as usize))
            }
        }
    }

    #[inline(always)]
    fn take_counted(
        &mut self,
        column: &Numbers,
        (types, counted): (&[ReadOnlyCell<u8>], &[u8]),
        rows: impl Iterator<Item = usize>,
    ) -> usize {
        let mut size = 0;
        for row in rows {
            self.values[size] = column.numbers[row].get();
            size += usize::from(counted.get(usize::from(types[row].get())).is_some_and(|one| *one > 0));
        }
        size
    }
}
