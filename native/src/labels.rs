//! Labels: JSON bytes to ids, times, models and values, for stream_monitor/codecs/labels.py.

use crate::scan::{Cursor, Fit, Misfit};
use crate::string;
use foldhash::fast::RandomState;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList};
use std::collections::HashMap;

/// Models and values that are short, each made once.
const KNOWN_MAX: usize = 4_096;
const KNOWN_LENGTH_MAX: usize = 64;
/// So many digits fit an i64 whatever they are.
const DIGITS_MAX: usize = 18;

const NAMES: [&str; 4] = ["value", "time", "id", "model"];
const MODEL: usize = 3;

/// The fields of the labels that fit, by NAMES, empty where labels have none; the places of these labels, and
/// of the others.
type Decoded<'py> = (Vec<Bound<'py, PyList>>, Vec<usize>, Vec<usize>);

/// Reads labels whose fields have top-level names of their own.
#[pyclass]
pub struct LabelKernel {
    /// By the place of the field in NAMES: its name in the label, if it is there.
    names: [Option<Box<[u8]>>; 4],
    known: HashMap<Box<[u8]>, Py<PyAny>, RandomState>,
    room: Vec<u8>,
}

#[pymethods]
impl LabelKernel {
    #[new]
    fn new(names: Vec<(String, String)>) -> PyResult<Self> {
        let mut kernel =
            LabelKernel { names: Default::default(), known: HashMap::default(), room: Vec::new() };
        for (field, name) in names {
            let at = NAMES.iter().position(|one| *one == field).ok_or(PyKeyError::new_err(field))?;
            kernel.names[at] = Some(name.into_bytes().into());
        }
        Ok(kernel)
    }

    /// Read values.
    fn decode<'py>(&mut self, py: Python<'py>, values: &Bound<'py, PyList>) -> PyResult<Decoded<'py>> {
        let mut columns: [Vec<Py<PyAny>>; 4] = Default::default();
        let (mut fits, mut missed) = (Vec::with_capacity(values.len()), Vec::new());
        for (at, value) in values.iter().enumerate() {
            let read = match value.cast::<PyBytes>() {
                Ok(bytes) => self.read(py, bytes.as_bytes()),
                Err(_) => Err(Misfit),
            };
            match read {
                Ok(fields) => {
                    fits.push(at);
                    for (column, field) in columns.iter_mut().zip(fields) {
                        column.extend(field);
                    }
                }
                Err(Misfit) => missed.push(at),
            }
        }
        let lists = columns.into_iter().map(|column| PyList::new(py, column));
        Ok((lists.collect::<PyResult<_>>()?, fits, missed))
    }
}

impl LabelKernel {
    fn read(&mut self, py: Python<'_>, data: &[u8]) -> Fit<[Option<Py<PyAny>>; 4]> {
        let mut cursor = Cursor::of(data)?;
        let mut found: [Option<Py<PyAny>>; 4] = Default::default();
        let mut more = cursor.first_member()?;
        while more {
            let name = cursor.name()?;
            match self.names.iter().position(|one| one.as_deref() == Some(name)) {
                // Of several of one name the last counts: that is for others to say.
                Some(at) if found[at].is_some() => return Err(Misfit),
                Some(at) => found[at] = Some(self.field(py, at, &mut cursor)?),
                None => cursor.skip()?,
            }
            more = cursor.next_member()?;
        }
        cursor.end()?;
        for (at, one) in found.iter_mut().enumerate() {
            if one.is_none() && self.names[at].is_some() {
                *one = Some((at == MODEL).then(|| py.None()).ok_or(Misfit)?);
            }
        }
        Ok(found)
    }

    fn field(&mut self, py: Python<'_>, at: usize, cursor: &mut Cursor<'_>) -> Fit<Py<PyAny>> {
        let start = cursor.at;
        match (NAMES[at], cursor.peek()) {
            ("id", b'"') => {
                let text = cursor.text()?;
                string(py, text.utf8(&mut self.room)?).map(Py::into_any).or(Err(Misfit))
            }
            ("value" | "model", b'"') => {
                let text = cursor.text()?;
                let token = &cursor.data[start..cursor.at];
                self.made(py, token, |room| string(py, text.utf8(room)?).map(Py::into_any).or(Err(Misfit)))
            }
            ("id" | "time" | "value", b'-' | b'0'..=b'9') => {
                let number = cursor.number()?;
                let token = &cursor.data[start..cursor.at];
                if token.iter().all(|one| one.is_ascii_digit() || *one == b'-') {
                    let whole = whole(token)?;
                    return Ok(PyInt::new(py, whole).into_any().unbind());
                }
                // Zero has a sign for some who read it.
                let usable = NAMES[at] == "value" && number != 0.0;
                usable.then(|| PyFloat::new(py, number).into_any().unbind()).ok_or(Misfit)
            }
            ("model", b'n') if cursor.take(b"null") => Ok(py.None()),
            ("value", b'n') if cursor.take(b"null") => Ok(py.None()),
            ("value", b't') if cursor.take(b"true") => Ok(true_or_false(py, true)),
            ("value", b'f') if cursor.take(b"false") => Ok(true_or_false(py, false)),
            _ => Err(Misfit),
        }
    }

    /// What a token stands for, made once where it is short.
    fn made(
        &mut self,
        py: Python<'_>,
        token: &[u8],
        make: impl FnOnce(&mut Vec<u8>) -> Fit<Py<PyAny>>,
    ) -> Fit<Py<PyAny>> {
        if let Some(known) = self.known.get(token) {
            return Ok(known.clone_ref(py));
        }
        let made = make(&mut self.room)?;
        if token.len() <= KNOWN_LENGTH_MAX {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(token.into(), made.clone_ref(py));
        }
        Ok(made)
    }
}

fn whole(token: &[u8]) -> Fit<i64> {
    let text = std::str::from_utf8(token).or(Err(Misfit))?;
    let fits = text.trim_start_matches('-').len() <= DIGITS_MAX && text != "-0";
    fits.then(|| text.parse().ok()).flatten().ok_or(Misfit)
}

fn true_or_false(py: Python<'_>, one: bool) -> Py<PyAny> {
    PyBool::new(py, one).to_owned().into_any().unbind()
}
