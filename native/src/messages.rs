//! What every record of a poll is asked, in one pass, for stream_monitor/runtime/consumed.py.
//!
//! A message of confluent-kafka says nothing but by methods. Looking one up and calling it the general way costs more
//! than what it does, so their C functions are called as the interpreter would, had it nothing else to look after.

use crate::int64s;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple, PyType};
use std::ptr::null_mut;

/// Partitions, offsets and timestamps (bytes of int64), and values.
type Told = (Py<PyBytes>, Py<PyBytes>, Py<PyBytes>, Py<PyList>);

/// A class that is written in C, whose objects are asked.
struct Class<'py>(Bound<'py, PyType>);

/// A method of a class, without arguments.
struct Method<'a, 'py> {
    class: &'a Class<'py>,
    function: ffi::PyCFunction,
}

impl<'py> Class<'py> {
    fn method(&self, name: &str) -> PyResult<Method<'_, 'py>> {
        let found = self.0.getattr(name)?;
        let unknown = || PyTypeError::new_err(format!("{name}: expected a method written in C"));
        // SAFETY: a method descriptor has this form in the version of Python that this is compiled for, and one
        // without arguments is called with its object and null.
        unsafe {
            if ffi::Py_TYPE(found.as_ptr()) != &raw mut ffi::PyMethodDescr_Type {
                return Err(unknown());
            }
            let descriptor = &*found.as_ptr().cast::<ffi::PyMethodDescrObject>();
            let method = &*descriptor.d_method;
            if descriptor.d_common.d_type != self.0.as_type_ptr() || method.ml_flags != ffi::METH_NOARGS {
                return Err(unknown());
            }
            Ok(Method { class: self, function: method.ml_meth.PyCFunction })
        }
    }

    fn check(&self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        if object.get_type_ptr() == self.0.as_type_ptr() {
            Ok(())
        } else {
            Err(PyTypeError::new_err(format!("expected {}, got {}", self.0, object.get_type())))
        }
    }
}

impl<'py> Method<'_, 'py> {
    #[inline(always)]
    fn of(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.class.check(object)?;
        // SAFETY: the function is a method of the class that the object is of.
        unsafe { Bound::from_owned_ptr_or_err(object.py(), (self.function)(object.as_ptr(), null_mut())) }
    }
}

/// Whether any of these messages of a class holds an error.
#[pyfunction]
pub fn has_errors(class: Bound<'_, PyType>, messages: &Bound<'_, PyList>) -> PyResult<bool> {
    let class = Class(class);
    let error = class.method("error")?;
    for message in messages {
        if !error.of(&message)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What these messages of a class say; none of them holds an error.
#[pyfunction]
pub fn told(class: Bound<'_, PyType>, messages: &Bound<'_, PyList>) -> PyResult<Told> {
    let py = messages.py();
    let class = Class(class);
    let (partition, offset) = (class.method("partition")?, class.method("offset")?);
    let (timestamp, value) = (class.method("timestamp")?, class.method("value")?);
    let empty = || Vec::with_capacity(messages.len());
    let (mut partitions, mut offsets, mut timestamps) = (empty(), empty(), empty());
    let mut values = Vec::with_capacity(messages.len());
    for message in messages {
        partitions.push(partition.of(&message)?.extract()?);
        offsets.push(offset.of(&message)?.extract()?);
        let kind_and_time = timestamp.of(&message)?;
        timestamps.push(kind_and_time.cast::<PyTuple>()?.get_borrowed_item(1)?.extract()?);
        values.push(value.of(&message)?);
    }
    let values = PyList::new(py, values)?.unbind();
    Ok((int64s(py, &partitions)?, int64s(py, &offsets)?, int64s(py, &timestamps)?, values))
}
