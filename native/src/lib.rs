//! JSON bytes to columns, for stream_monitor/codecs/native.py; the numbers of columns to what a summary says of
//! them, for stream_monitor/summary/native.py; what consumed messages say, for stream_monitor/runtime/consumed.py.
//! These say what is promised.

mod columns;
mod dictionary;
mod entries;
mod event;
mod fits;
mod labels;
mod layout;
mod messages;
mod names;
mod number;
mod numbers;
mod numbers_bins;
mod numbers_pass;
mod numbers_rows;
mod scan;
mod text;
mod words;

use columns::{Told, Types};
use event::{Reader, FIELDS};
use fits::{Fits, Ids};
use layout::Layout;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyString};

/// What the caller must know to speak with this module. Another number, another form.
const FORM: u32 = 3;

/// A column: its types (one for all rows, or uint8), numbers (float64) and codes of texts (int64).
type Column = (Py<PyAny>, Option<Py<PyBytes>>, Option<Py<PyBytes>>);

/// The events of one layout: which layout, their places among the events that fit, features and outputs.
type Table = (usize, Py<PyBytes>, Vec<Column>, Vec<Column>);

/// A stream: the layout of its model, its version and its role.
type Stream = (usize, Option<Py<PyString>>, Option<Py<PyString>>);

/// Reads events by the layouts that it was taught.
#[pyclass]
struct Kernel {
    reader: Reader,
}

#[pymethods]
impl Kernel {
    /// ``names``: the fields that are in the event, each with its name there.
    #[new]
    fn new(names: Vec<(String, String)>) -> PyResult<Self> {
        let fields = names.into_iter().map(|(field, name)| {
            let (_, known) =
                FIELDS.iter().find(|(one, _)| *one == field).ok_or(PyKeyError::new_err(field))?;
            Ok((name.into_bytes().into(), *known))
        });
        Ok(Kernel { reader: Reader::new(fields.collect::<PyResult<_>>()?) })
    }

    /// Read events of a model by these names of features and outputs; ``model`` is "" where events have none.
    fn learn(&mut self, model: &str, features: Vec<String>, outputs: Vec<String>) -> usize {
        self.reader.learn(model.as_bytes(), Layout::new(&features, &outputs))
    }

    /// Forget the codes of texts: another vocabulary gives others.
    fn forget_texts(&mut self) {
        self.reader.dictionary = dictionary::Dictionary::new();
    }

    /// Read values. ``encode`` gives the codes of texts, ``is_passed`` tells of a name that no layout has (and
    /// whether it is that of a feature) if it is passed over.
    fn decode(
        &mut self,
        values: &Bound<'_, PyList>,
        encode: &Bound<'_, PyAny>,
        is_passed: &Bound<'_, PyAny>,
    ) -> PyResult<Decoded> {
        let py = values.py();
        let mut failed = None;
        let mut asks = |name: &[u8], of_features: bool| match asked(is_passed, name, of_features) {
            Ok(passed) => passed,
            Err(error) => {
                failed = Some(error);
                false
            }
        };
        let (mut fits, mut record, mut missed) = (Fits::default(), Vec::new(), Vec::new());
        for (at, value) in values.iter().enumerate() {
            let read = match value.cast::<PyBytes>() {
                Ok(bytes) => self.reader.read(bytes.as_bytes(), &mut fits, &mut asks).is_ok(),
                Err(_) => false,
            };
            if read { &mut record } else { &mut missed }.push(at as i64);
        }
        let decoded = match failed {
            Some(error) => Err(error),
            None => self.name_texts(py, encode).and_then(|()| self.told(py, fits, &record, &missed)),
        };
        self.reader.clear();
        decoded
    }
}

impl Kernel {
    fn name_texts(&mut self, py: Python<'_>, encode: &Bound<'_, PyAny>) -> PyResult<()> {
        let dictionary = &mut self.reader.dictionary;
        if dictionary.fresh().len() > 0 {
            let texts = dictionary.fresh().map(|text| string(py, text)).collect::<PyResult<Vec<_>>>()?;
            dictionary.name(&encode.call1((PyList::new(py, texts)?,))?.extract::<Vec<i64>>()?);
        }
        Ok(())
    }

    fn told(&self, py: Python<'_>, fits: Fits, record: &[i64], missed: &[i64]) -> PyResult<Decoded> {
        let layouts = self.reader.layouts.iter().enumerate();
        let used = layouts.filter(|(_, layout)| !layout.places.is_empty());
        let tables = used.map(|(at, layout)| {
            let columns = |table: &columns::Table| {
                table
                    .told(layout.places.len())
                    .map(|told| self.column(py, &told))
                    .collect::<PyResult<Vec<_>>>()
            };
            let (features, outputs) = (columns(&layout.features.table)?, columns(&layout.outputs.table)?);
            Ok((at, int64s(py, &layout.places)?, features, outputs))
        });
        let streams = fits.streams.iter().map(|stream| {
            let text = |name: &Option<Vec<u8>>| name.as_ref().map(|text| string(py, text)).transpose();
            Ok((stream.layout, text(&stream.version)?, text(&stream.role)?))
        });
        let time_texts = fits.time_texts.iter().map(|(place, text)| Ok((*place, string(py, text)?)));
        Ok(Decoded {
            record: int64s(py, record)?,
            missed: int64s(py, missed)?,
            time: int64s(py, &fits.times)?,
            time_texts: time_texts.collect::<PyResult<_>>()?,
            stream: int64s(py, &fits.stream)?,
            streams: streams.collect::<PyResult<_>>()?,
            tables: tables.collect::<PyResult<_>>()?,
            ids: fits.ids,
        })
    }

    fn column(&self, py: Python<'_>, told: &Told<'_>) -> PyResult<Column> {
        let types = match told.types {
            Types::All(one) => PyInt::new(py, one).into_any().unbind(),
            Types::Each(types) => PyBytes::new(py, types).into_any().unbind(),
        };
        let codes = self.reader.dictionary.codes();
        let numbers = told.numbers.map(|numbers| bytes(py, numbers.iter().map(|one| one.to_ne_bytes())));
        let texts =
            told.texts.map(|texts| bytes(py, texts.iter().map(|one| codes[*one as usize].to_ne_bytes())));
        Ok((types, numbers.transpose()?, texts.transpose()?))
    }
}

fn asked(is_passed: &Bound<'_, PyAny>, name: &[u8], of_features: bool) -> PyResult<bool> {
    is_passed.call1((string(is_passed.py(), name)?, of_features))?.extract()
}

/// A string of what is known to be UTF-8.
fn string(py: Python<'_>, text: &[u8]) -> PyResult<Py<PyString>> {
    Ok(PyString::from_bytes(py, text)?.unbind())
}

fn int64s(py: Python<'_>, values: &[i64]) -> PyResult<Py<PyBytes>> {
    bytes(py, values.iter().map(|value| value.to_ne_bytes()))
}

/// Values of eight bytes each, one behind the other.
fn bytes(py: Python<'_>, values: impl ExactSizeIterator<Item = [u8; 8]>) -> PyResult<Py<PyBytes>> {
    let filled = PyBytes::new_with(py, 8 * values.len(), |room| {
        for (place, value) in room.chunks_exact_mut(8).zip(values) {
            place.copy_from_slice(&value);
        }
        Ok(())
    });
    Ok(filled?.unbind())
}

/// What a batch of values says, as a dict. Arrays are bytes of int64 unless said otherwise.
#[derive(IntoPyObject)]
struct Decoded {
    /// The places of the values that fit a layout.
    record: Py<PyBytes>,
    /// The places of the others.
    missed: Py<PyBytes>,
    /// By event: epoch ms, 0 where the time is a text.
    time: Py<PyBytes>,
    /// The events whose time is one, with it.
    time_texts: Vec<(usize, Py<PyString>)>,
    /// By event: its place in ``streams``, each a layout, a version and a role.
    stream: Py<PyBytes>,
    streams: Vec<Stream>,
    tables: Vec<Table>,
    ids: Ids,
}

#[pymethods]
impl Ids {
    /// Whether each event has one of at least one byte and at most 200.
    #[getter]
    fn usable(&self) -> bool {
        !self.judged
    }

    /// As strings, None where there is none.
    fn tolist(&self, py: Python<'_>) -> PyResult<Py<PyList>> {
        let ids = self.iter().map(|id| id.map(|text| string(py, text)).transpose());
        Ok(PyList::new(py, ids.collect::<PyResult<Vec<_>>>()?)?.unbind())
    }
}

#[pymodule]
fn stream_monitor_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("FORM", FORM)?;
    module.add_function(wrap_pyfunction!(numbers::summarise_numbers, module)?)?;
    module.add_function(wrap_pyfunction!(messages::has_errors, module)?)?;
    module.add_function(wrap_pyfunction!(messages::told, module)?)?;
    module.add_class::<labels::LabelKernel>()?;
    module.add_function(wrap_pyfunction!(entries::encode_entries, module)?)?;
    module.add_function(wrap_pyfunction!(entries::decode_lone, module)?)?;
    module.add_class::<Kernel>()
}
