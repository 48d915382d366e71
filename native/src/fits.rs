//! What was read of a batch, but for the columns.

use crate::text::Text;
use foldhash::fast::RandomState;
use pyo3::pyclass;
use std::collections::HashMap;

/// Longer ids are not usable: NAME_LENGTH_MAX in stream_monitor/codecs/identity.py.
const ID_LENGTH_MAX: usize = 200;

/// What a layout and the fields of an event say about its stream.
pub struct Stream {
    pub layout: usize,
    pub version: Option<Vec<u8>>,
    pub role: Option<Vec<u8>>,
}

impl Stream {
    /// Whether an event is of this stream; it may be even so where its names are escaped.
    #[inline(always)]
    pub fn is(&self, layout: usize, version: &Option<Text>, role: &Option<Text>) -> bool {
        let same = |own: &Option<Vec<u8>>, other: &Option<Text>| match (own, other) {
            (Some(own), Some(other)) => other.plain() == Some(&own[..]),
            (None, None) => true,
            _ => false,
        };
        self.layout == layout && same(&self.version, version) && same(&self.role, role)
    }
}

/// Texts one after the other, some of them missing.
#[pyclass(frozen)]
#[derive(Default)]
pub struct Ids {
    bytes: Vec<u8>,
    spans: Vec<Option<(usize, usize)>>,
    /// Some of them are missing, empty or too long.
    pub judged: bool,
}

impl Ids {
    pub fn push(&mut self, id: Option<&[u8]>) {
        let span = id.map(|id| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(id);
            (start, self.bytes.len())
        });
        self.judged |= !span.is_some_and(|(start, end)| (1..=ID_LENGTH_MAX).contains(&(end - start)));
        self.spans.push(span);
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        self.spans.iter().map(|span| span.map(|(start, end)| &self.bytes[start..end]))
    }
}

/// What was read of a batch, one entry an event that fits, but for the columns.
#[derive(Default)]
pub struct Fits {
    pub times: Vec<i64>,
    /// The times that are texts, by the number of their event.
    pub time_texts: Vec<(usize, Vec<u8>)>,
    pub ids: Ids,
    /// By the number of their event, which of the streams is its own.
    pub stream: Vec<i64>,
    pub streams: Vec<Stream>,
    pub known: HashMap<Vec<u8>, usize, RandomState>,
}
