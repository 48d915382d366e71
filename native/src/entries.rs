//! Entries of the join's store: columns to bytes, for stream_monitor/join/encoding.py, which says their form.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

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
        -128..=-1 => (0xd0, 1),
        -32_768..=-1 => (0xd1, 2),
        -2_147_483_648..=-1 => (0xd2, 4),
        ..=-1 => (0xd3, 8),
        0..=0xff => (0xcc, 1),
        0..=0xffff => (0xcd, 2),
        0..=0xffff_ffff => (0xce, 4),
        0.. => (0xcf, 8),
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
