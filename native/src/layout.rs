//! What events of one model look like: the names of their features and of their outputs.

use crate::columns::Table;
use crate::dictionary::Dictionary;
use crate::names::Quoted;
use crate::scan::{Cursor, Fit, Misfit};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// So many names that are passed over are kept in mind.
const PASSED_MAX: usize = 512;

/// Tells of a name that a layout does not have whether it is passed over.
type IsPassed<'a> = dyn FnMut(&[u8]) -> bool + 'a;

/// Names, as they mostly come: each behind the one that it was learned behind.
pub struct Names {
    quoted: Vec<Quoted>,
    index: HashMap<Box<[u8]>, usize, RandomState>,
    passed: HashMap<Box<[u8]>, bool, RandomState>,
}

impl Names {
    pub fn new(names: &[String]) -> Self {
        let quoted = names.iter().map(|name| Quoted::new(name.as_bytes()));
        let index = names.iter().enumerate().map(|(at, name)| (name.as_bytes().into(), at));
        Names { quoted: quoted.collect(), index: index.collect(), passed: HashMap::default() }
    }

    /// Read a name, up to its value: which it is, None where it is passed over.
    #[inline(always)]
    fn find(&mut self, cursor: &mut Cursor, expected: usize, is_passed: &mut IsPassed) -> Fit<Option<usize>> {
        if let Some(quoted) = self.quoted.get(expected) {
            if quoted.take(cursor) {
                return Ok(Some(expected));
            }
        }
        let name = cursor.name()?;
        match self.index.get(name).copied() {
            None if !self.passes(name, is_passed) => Err(Misfit),
            found => Ok(found),
        }
    }

    fn len(&self) -> usize {
        self.quoted.len()
    }

    fn passes(&mut self, name: &[u8], is_passed: &mut IsPassed) -> bool {
        if let Some(known) = self.passed.get(name) {
            return *known;
        }
        let passes = is_passed(name);
        if self.passed.len() < PASSED_MAX {
            self.passed.insert(name.into(), passes);
        }
        passes
    }
}

/// The features or the outputs of events of one model.
pub struct Signals {
    names: Names,
    pub table: Table,
}

impl Signals {
    pub fn new(names: &[String]) -> Self {
        Signals { names: Names::new(names), table: Table::new(names.len()) }
    }

    /// Read an object into a row. On a misfit the row is left as it is, to be forgotten.
    #[inline(always)]
    pub fn read(
        &mut self,
        cursor: &mut Cursor,
        row: usize,
        dictionary: &mut Dictionary,
        room: &mut Vec<u8>,
        is_passed: &mut IsPassed,
    ) -> Fit<()> {
        self.table.reserve(row);
        let mut at = *cursor;
        let mut expected = 0;
        let mut more = at.first_member()?;
        while more {
            match self.names.find(&mut at, expected, is_passed)? {
                Some(column) => {
                    self.table.read(column, row, &mut at, dictionary, room)?;
                    expected = column + 1;
                }
                None => at.skip()?,
            }
            more = at.next_member()?;
        }
        *cursor = at;
        Ok(())
    }
}

/// One model's events that are being read.
pub struct Layout {
    pub features: Signals,
    pub outputs: Signals,
    /// Of each event of this layout, how many events of any layout were read before.
    pub places: Vec<i64>,
}

impl Layout {
    pub fn new(features: &[String], outputs: &[String]) -> Self {
        Layout { features: Signals::new(features), outputs: Signals::new(outputs), places: Vec::new() }
    }

    /// Take back the row that is being read.
    pub fn forget_last(&mut self) {
        let row = self.places.len();
        self.forget(row, row + 1);
    }

    /// Take back all rows, and keep the memory of their columns or not.
    pub fn clear(&mut self, keep_memory: bool) {
        if keep_memory {
            self.forget(0, self.places.len());
        } else {
            self.features.table = Table::new(self.features.names.len());
            self.outputs.table = Table::new(self.outputs.names.len());
        }
        self.places.clear();
    }

    /// How many cells there is memory for.
    pub fn cells(&self) -> usize {
        self.features.table.cells() + self.outputs.table.cells()
    }

    fn forget(&mut self, first: usize, end: usize) {
        self.features.table.forget(first, end);
        self.outputs.table.forget(first, end);
    }
}
