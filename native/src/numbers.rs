//! The numbers of a block of rows, for stream_monitor/summary/native.py, which says what is promised.

use crate::int64s;
use crate::numbers_bins::Found;
use crate::numbers_pass::{Asked, Said};
use crate::numbers_rows::{Numbers, Part, Room, Rows};
use pyo3::buffer::{Element, PyBuffer, ReadOnlyCell};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice};
use std::cell::Cell;
use std::ops::Range;

/// The columns of counts that are written: Count in stream_monitor/summary/counts.py.
mod count {
    pub const NAN: usize = 7;
    pub const INF: usize = 8;
    pub const OUT_OF_RANGE: usize = 10;
    pub const GRID_CLIPPED: usize = 11;
    pub const FINE_SUM: usize = 12;
    pub const GRID_SUM: usize = 13;
    pub const FINE_SQUARES_HIGH: usize = 14;
    pub const GRID_SQUARES_HIGH: usize = 15;
    pub const FINE_SQUARES_LOW: usize = 16;
    pub const GRID_SQUARES_LOW: usize = 17;
    pub const WIDTH: usize = 18;
    pub const LOW_BITS: i64 = 32;
}

/// Which signal it is of, its numbers, and where not every row has one: the type of each row (uint8), and by
/// type whether it counts as a number.
type Column = (usize, PyBuffer<f64>, Option<(PyBuffer<u8>, Vec<u8>)>);

/// The lowest and the highest number of each signal.
type Ranges = (PyBuffer<f64>, PyBuffer<f64>);

/// Whether a signal has one, center and unit.
type Grids = (PyBuffer<u8>, PyBuffer<f64>, PyBuffer<f64>);

/// The keys of a cell, signal * BINS + bin, ascending, and their counts: int64.
type Bins = (Py<PyBytes>, Py<PyBytes>);

/// Which rows are looked at, cell by cell: from one on, or these.
#[derive(FromPyObject)]
pub enum Index<'py> {
    Run(Bound<'py, PySlice>),
    Picked(PyBuffer<i64>),
}

/// Write what numbers say into ``counts`` (C, S, WIDTH), ``minimum`` and ``maximum`` (C, S), and give the bins
/// of each cell; ``sizes`` (C,) are its rows.
#[pyfunction]
#[pyo3(signature = (columns, index, sizes, center, ranges, grids, counts, minimum, maximum))]
#[allow(clippy::too_many_arguments)] // Each is an array that the caller has.
pub fn summarise_numbers(
    py: Python<'_>,
    columns: Vec<Column>,
    index: Index<'_>,
    sizes: PyBuffer<i64>,
    center: Option<PyBuffer<f64>>,
    ranges: Option<Ranges>,
    grids: Option<Grids>,
    counts: PyBuffer<i64>,
    minimum: PyBuffer<f32>,
    maximum: PyBuffer<f32>,
) -> PyResult<Vec<Bins>> {
    let cells = cells(values(&sizes)?)?;
    let rows = cells.last().map_or(0, |last| last.end);
    let index = rows_of(&index, rows)?;
    let signals = match counts.shape() {
        [size, signals, count::WIDTH] if *size == cells.len() => *signals,
        shape => return Err(PyValueError::new_err(format!("counts: of shape {shape:?}"))),
    };
    let asked = asked(signals, &center, &ranges, &grids)?;
    let end = index.end();
    let columns = columns.iter().map(|column| numbers_of(column, signals, end));
    let columns = columns.collect::<PyResult<Vec<_>>>()?;
    let (counts, least, most) = (writable(&counts)?, writable(&minimum)?, writable(&maximum)?);
    if least.len() != cells.len() * signals || most.len() != least.len() {
        return Err(PyValueError::new_err("minimum, maximum: of another shape than counts"));
    }
    let (mut room, mut bins) = (Room::new(), Found::default());
    let told = cells.into_iter().enumerate().map(|(cell, rows)| {
        bins.clear();
        for column in &columns {
            let part = Part { column, index: &index, places: rows.clone(), asked: &asked[column.signal] };
            let said = room.say(part, &mut bins);
            let place = cell * signals + column.signal;
            write(&said, &counts[place * count::WIDTH..][..count::WIDTH]);
            if let Some((lowest, highest)) = said.extremes() {
                least[place].set(lowest);
                most[place].set(highest);
            }
        }
        Ok((int64s(py, &bins.keys)?, int64s(py, &bins.counts)?))
    });
    told.collect()
}

fn numbers_of(column: &Column, signals: usize, rows: usize) -> PyResult<Numbers<'_>> {
    let (signal, numbers, types) = column;
    let numbers = values(numbers)?;
    let types = types.as_ref().map(|(types, counted)| Ok::<_, PyErr>((values(types)?, &counted[..])));
    let types = types.transpose()?;
    if numbers.len() < rows || types.is_some_and(|(types, _)| types.len() < rows) || *signal >= signals {
        return Err(PyIndexError::new_err(format!("signal {signal}: not as many rows as are looked at")));
    }
    Ok(Numbers { signal: *signal, numbers, types })
}

fn rows_of(index: &Index<'_>, rows: usize) -> PyResult<Rows> {
    match index {
        Index::Run(run) => {
            let run = run.indices(isize::MAX)?;
            if run.step != 1 {
                return Err(PyIndexError::new_err("index: rows that do not follow one another"));
            }
            Ok(Rows::From(run.start as usize, rows))
        }
        Index::Picked(picked) => {
            let picked = values(picked)?.iter().map(|row| u32::try_from(row.get()));
            let picked = picked.collect::<Result<Vec<_>, _>>()?;
            if picked.len() != rows {
                return Err(PyIndexError::new_err("index: not as many rows as cells have"));
            }
            Ok(Rows::Picked(picked))
        }
    }
}

/// What is asked of the numbers of each signal.
fn asked(
    signals: usize,
    center: &Option<PyBuffer<f64>>,
    ranges: &Option<Ranges>,
    grids: &Option<Grids>,
) -> PyResult<Vec<Asked>> {
    let mut asked: Vec<_> = (0..signals).map(|_| Asked { center: 0.0, range: None, grid: None }).collect();
    if let Some(center) = center {
        asked.iter_mut().zip(values(center)?).for_each(|(one, center)| one.center = center.get());
    }
    if let Some((lowest, highest)) = ranges {
        for (one, bounds) in asked.iter_mut().zip(values(lowest)?.iter().zip(values(highest)?)) {
            let bounds = (bounds.0.get(), bounds.1.get());
            one.range = (bounds != (f64::NEG_INFINITY, f64::INFINITY)).then_some(bounds);
        }
    }
    if let Some((declared, center, unit)) = grids {
        let grids = values(center)?.iter().zip(values(unit)?);
        for (one, (declared, grid)) in asked.iter_mut().zip(values(declared)?.iter().zip(grids)) {
            one.grid = (declared.get() > 0).then(|| (grid.0.get(), grid.1.get()));
        }
    }
    Ok(asked)
}

/// The places of each cell in the index.
fn cells(sizes: &[ReadOnlyCell<i64>]) -> PyResult<Vec<Range<usize>>> {
    let mut end = 0usize;
    let cells = sizes.iter().map(|size| {
        let first = end;
        end = usize::try_from(size.get())
            .ok()
            .and_then(|size| first.checked_add(size))
            .ok_or_else(|| PyValueError::new_err("sizes: not how many rows cells have"))?;
        Ok(first..end)
    });
    cells.collect()
}

fn write(said: &Said, counts: &[Cell<i64>]) {
    counts[count::NAN].set(said.nan);
    counts[count::INF].set(said.infinite);
    counts[count::OUT_OF_RANGE].set(said.out_of_range);
    counts[count::GRID_CLIPPED].set(said.clipped);
    let low = (1 << count::LOW_BITS) - 1;
    counts[count::FINE_SUM].set(said.fine.sum);
    counts[count::FINE_SQUARES_HIGH].set(said.fine.squares >> count::LOW_BITS);
    counts[count::FINE_SQUARES_LOW].set(said.fine.squares & low);
    counts[count::GRID_SUM].set(said.grid.sum);
    counts[count::GRID_SQUARES_HIGH].set(said.grid.squares >> count::LOW_BITS);
    counts[count::GRID_SQUARES_LOW].set(said.grid.squares & low);
}

/// The values of an array, in place.
fn values<T: Element>(array: &PyBuffer<T>) -> PyResult<&[ReadOnlyCell<T>]> {
    let values = array.as_slice_ptr().ok_or_else(|| PyValueError::new_err("an array with gaps"))?;
    // SAFETY: the memory is there for as long as it is borrowed, of this type and aligned, which the buffer has
    // checked. Nobody else writes to it meanwhile: this thread keeps the lock of the interpreter.
    Ok(unsafe { &*(values.as_ptr() as *const [ReadOnlyCell<T>]) })
}

fn writable<T: Element>(array: &PyBuffer<T>) -> PyResult<&[Cell<T>]> {
    let refused = || PyValueError::new_err("an array with gaps, or that cannot be written");
    let values = array.as_slice_ptr().filter(|_| !array.readonly()).ok_or_else(refused)?;
    // SAFETY: as above; and cells may be written through any number of references.
    Ok(unsafe { &*(values.as_ptr() as *const [Cell<T>]) })
}
