//! Entries of the join's store: columns to bytes, for stream_monitor/join/encoding.py, which says their form.

use crate::{bytes, int64s};
use foldhash::fast::RandomState;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};
use std::collections::HashMap;

/// One element of each entry: the pieces of each head, which head a row has, the integers behind its first
/// piece, the numbers behind the others, and what ends it. Numbers of a row are ``width`` apart.
#[derive(FromPyObject)]
pub struct Part {
    pieces: Vec<Vec<PyBackedBytes>>,
    head: PyBuffer<i64>,
    integers: Vec<PyBuffer<i64>>,
    numbers: PyBuffer<f64>,
    width: usize,
    tails: Option<Vec<PyBackedBytes>>,
}

/// The entries of ``n`` ids, each of an element of every part.
#[pyfunction]
pub fn encode_entries<'py>(py: Python<'py>, n: usize, parts: Vec<Part>) -> PyResult<Bound<'py, PyList>> {
    let read = parts.iter().map(|part| Elements::of(py, part, n)).collect::<PyResult<Vec<_>>>()?;
    let (entries, mut room) = (PyList::empty(py), Vec::new());
    for row in 0..n {
        room.clear();
        room.push(0x90 | parts.len() as u8);
        for one in &read {
            one.encode(row, &mut room)?;
        }
        entries.append(PyBytes::new(py, &room))?;
    }
    Ok(entries)
}

struct Elements<'a> {
    part: &'a Part,
    head: Vec<i64>,
    integers: Vec<Vec<i64>>,
    numbers: Vec<f64>,
}

impl<'a> Elements<'a> {
    fn of(py: Python<'_>, part: &'a Part, n: usize) -> PyResult<Self> {
        let integers = part.integers.iter().map(|one| one.to_vec(py)).collect::<PyResult<Vec<_>>>()?;
        let (head, numbers) = (part.head.to_vec(py)?, part.numbers.to_vec(py)?);
        let fits = head.len() == n
            && integers.iter().all(|one| one.len() == n)
            && numbers.len() == n * part.width
            && part.tails.as_ref().is_none_or(|tails| tails.len() == n);
        fits.then_some(Elements { part, head, integers, numbers })
            .ok_or_else(|| PyValueError::new_err("columns of other lengths"))
    }

    fn encode(&self, row: usize, room: &mut Vec<u8>) -> PyResult<()> {
        let unknown = || PyIndexError::new_err("a head that is not there, or has too few pieces");
        let pieces = self.part.pieces.get(self.head[row] as usize).ok_or_else(unknown)?;
        let [first, second, others @ ..] = &pieces[..] else { return Err(unknown()) };
        let numbers = self.numbers[row * self.part.width..].get(..others.len()).ok_or_else(unknown)?;
        room.extend_from_slice(first);
        for one in &self.integers {
            integer(one[row], room);
        }
        room.extend_from_slice(second);
        for (number, piece) in numbers.iter().zip(others) {
            float(*number, room);
            room.extend_from_slice(piece);
        }
        if let Some(tails) = &self.part.tails {
            room.extend_from_slice(&tails[row]);
        }
        Ok(())
    }
}

/// In as few bytes as msgpack has for it.
fn integer(value: i64, room: &mut Vec<u8>) {
    let (mark, bytes) = match value {
        -32..=127 => return room.push(value as u8),
        -0x80..=-33 => (0xd0, 1),
        -0x8000..=-0x81 => (0xd1, 2),
        -0x8000_0000..=-0x8001 => (0xd2, 4),
        ..=-0x8000_0001 => (0xd3, 8),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
    };
    room.push(mark);
    room.extend_from_slice(&value.to_be_bytes()[8 - bytes..]);
}

/// None where it is none.
fn float(value: f64, room: &mut Vec<u8>) {
    if value.is_nan() {
        return room.push(0xc0);
    }
    room.push(0xcb);
    room.extend_from_slice(&value.to_be_bytes());
}

/// What ``decode_lone`` finds, as a tuple: the places of the entries that fit; by row its head; the first row
/// of each head; the integers; the numbers, so many a row; the ends of labels.
type Lone = (Vec<usize>, Py<PyBytes>, Vec<usize>, Vec<Py<PyBytes>>, Py<PyBytes>, usize, Vec<Py<PyBytes>>);

/// Read the entries that are one element alone, of a kind: with this tag and so many integers behind its first
/// field, and of labels a value that ends it. What is not just so is left to others.
#[pyfunction]
pub fn decode_lone(
    py: Python<'_>,
    entries: Vec<PyBackedBytes>,
    tag: u8,
    integers: usize,
    has_tail: bool,
) -> PyResult<Lone> {
    let mut known: HashMap<Vec<u8>, i64, RandomState> = HashMap::default();
    let (mut fits, mut heads, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
    let mut columns = vec![Vec::new(); integers];
    let (mut numbers, mut spans, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    let mut room = Element::default();
    for (at, entry) in entries.iter().enumerate() {
        if room.read(entry, tag, integers, has_tail).is_none() {
            continue;
        }
        let head = match known.get(&room.head) {
            Some(head) => *head,
            None => {
                firsts.push(fits.len());
                known.insert(room.head.clone(), known.len() as i64);
                known.len() as i64 - 1
            }
        };
        fits.push(at);
        heads.push(head);
        for (column, one) in columns.iter_mut().zip(&room.integers) {
            column.push(*one);
        }
        spans.push(numbers.len());
        numbers.extend_from_slice(&room.numbers);
        if has_tail {
            tails.push(PyBytes::new(py, &entry[room.tail..]).unbind());
        }
    }
    spans.push(numbers.len());
    let width = spans.windows(2).map(|span| span[1] - span[0]).max().unwrap_or(0);
    let rows = spans.windows(2).flat_map(|span| {
        let row = &numbers[span[0]..span[1]];
        (0..width).map(move |place| row.get(place).copied().unwrap_or(f64::NAN))
    });
    let rows = rows.collect::<Vec<f64>>();
    let columns = columns.iter().map(|one| int64s(py, one)).collect::<PyResult<Vec<_>>>()?;
    let numbers = bytes(py, rows.iter().map(|one| one.to_ne_bytes()))?;
    Ok((fits, int64s(py, &heads)?, firsts, columns, numbers, width, tails))
}

/// In place of a number in a head: a byte that msgpack has for nothing.
const SLOT: u8 = 0xc1;

#[derive(Default)]
struct Element {
    head: Vec<u8>,
    integers: Vec<i64>,
    numbers: Vec<f64>,
    tail: usize,
}

impl Element {
    fn read(&mut self, entry: &[u8], tag: u8, integers: usize, has_tail: bool) -> Option<()> {
        self.head.clear();
        self.integers.clear();
        self.numbers.clear();
        let fields = match entry {
            [0x91, size, found, ..] if size >> 4 == 9 && *found == tag => usize::from(size & 15),
            _ => return None,
        };
        let mut at = self.copy(entry, 3)?;
        for _ in 0..integers {
            let (value, behind) = read_integer(entry, at)?;
            self.integers.push(value);
            at = behind;
        }
        for _ in 0..fields.checked_sub(2 + integers + usize::from(has_tail))? {
            at = self.copy(entry, at)?;
        }
        self.tail = at;
        (has_tail || at == entry.len()).then_some(())
    }

    /// Take a value into the head, without its numbers; tell where it ends.
    fn copy(&mut self, entry: &[u8], at: usize) -> Option<usize> {
        let mark = *entry.get(at)?;
        let long = |size: usize| {
            let bytes = entry.get(at + 1..at + 1 + size)?;
            Some(bytes.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
        };
        let (header, inside, items) = match mark {
            0xc0 | 0xc2 | 0xc3 => (1, 0, 0),
            0xcb => {
                let number = entry.get(at + 1..at + 9)?;
                self.numbers.push(f64::from_be_bytes(number.try_into().ok()?));
                self.head.push(SLOT);
                return Some(at + 9);
            }
            0xa0..=0xbf => (1, usize::from(mark & 31), 0),
            0xd9 => (2, long(1)?, 0),
            0xda => (3, long(2)?, 0),
            0xdb => (5, long(4)?, 0),
            0x90..=0x9f => (1, 0, usize::from(mark & 15)),
            0xdc => (3, 0, long(2)?),
            0x80..=0x8f => (1, 0, 2 * usize::from(mark & 15)),
            0xde => (3, 0, 2 * long(2)?),
            _ => return None,
        };
        let mut end = at + header + inside;
        self.head.extend_from_slice(entry.get(at..end)?);
        for _ in 0..items {
            end = self.copy(entry, end)?;
        }
        Some(end)
    }
}

/// An integer, and where it ends.
fn read_integer(entry: &[u8], at: usize) -> Option<(i64, usize)> {
    let mark = *entry.get(at)?;
    let size = match mark {
        0..=0x7f | 0xe0..=0xff => return Some((i64::from(mark as i8), at + 1)),
        0xcc..=0xcf => 1 << (mark - 0xcc),
        0xd0..=0xd3 => 1 << (mark - 0xd0),
        _ => return None,
    };
    let bytes = entry.get(at + 1..at + 1 + size)?;
    let sign = if mark >= 0xd0 && bytes[0] >= 0x80 { -1 } else { 0 };
    let value = bytes.iter().fold(sign, |value: i64, byte| value << 8 | i64::from(*byte));
    (mark != 0xcf || value >= 0).then_some((value, at + 1 + size))
}
