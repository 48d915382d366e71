//! Events of known layouts: what their fields say, and their signals in the columns of their layout.

use crate::dictionary::Dictionary;
use crate::fits::{Fits, Stream};
use crate::layout::Layout;
use crate::names::Quoted;
use crate::scan::{Cursor, Fit, Misfit};
use crate::text::Text;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Usable times are below: TIME_MS_END in stream_monitor/times.py.
const TIME_MS_END: u64 = 1 << 43;
/// Memory for more cells than this is given back after a batch.
const CELLS_KEPT_MAX: usize = 1 << 20;

/// Tells of a name, and whether it is that of a feature, if it is passed over where its layout has it not.
pub type IsPassed<'a> = dyn FnMut(&[u8], bool) -> bool + 'a;

/// The fields that an event may have at its top level.
#[derive(Clone, Copy, PartialEq)]
pub enum Field {
    Model,
    Id,
    Version,
    Role,
    Time,
    Features,
    Outputs,
}

pub const FIELDS: [(&str, Field); 7] = [
    ("model", Field::Model),
    ("id", Field::Id),
    ("version", Field::Version),
    ("role", Field::Role),
    ("time", Field::Time),
    ("features", Field::Features),
    ("outputs", Field::Outputs),
];

/// So many names at the top level of events are kept in mind, beside those of fields.
const NAMES_KEPT_MAX: usize = 64;

/// What the fields of one event say.
#[derive(Default)]
struct Event<'a> {
    seen: u8,
    layout: Option<usize>,
    id: Option<Text<'a>>,
    version: Option<Text<'a>>,
    role: Option<Text<'a>>,
    time: Option<Time<'a>>,
    features: Option<Cursor<'a>>,
    outputs: Option<Cursor<'a>>,
}

enum Time<'a> {
    Ms(i64),
    Text(Text<'a>),
}

/// Reads events by the layouts that it was given.
pub struct Reader {
    fields: Vec<(Box<[u8]>, Field)>,
    required: u8,
    /// Names as they were found, those of no field too.
    order: Vec<(Quoted, Option<Field>)>,
    models: HashMap<Box<[u8]>, usize, RandomState>,
    pub layouts: Vec<Layout>,
    pub dictionary: Dictionary,
    room: Vec<u8>,
    key: Vec<u8>,
}

impl Reader {
    pub fn new(fields: Vec<(Box<[u8]>, Field)>) -> Self {
        let always = [Field::Model, Field::Time, Field::Features, Field::Outputs];
        let required = fields.iter().filter(|(_, field)| always.contains(field));
        Reader {
            required: required.fold(0, |bits, (_, field)| bits | bit(*field)),
            fields,
            order: Vec::new(),
            models: HashMap::default(),
            layouts: Vec::new(),
            dictionary: Dictionary::new(),
            room: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Take a layout, in place of an earlier one of the same model, and tell its number.
    pub fn learn(&mut self, model: &[u8], layout: Layout) -> usize {
        let at = *self.models.entry(model.into()).or_insert(self.layouts.len());
        if at < self.layouts.len() {
            self.layouts[at] = layout;
        } else {
            self.layouts.push(layout);
        }
        at
    }

    /// Read one event, all of it or nothing.
    pub fn read(&mut self, data: &[u8], fits: &mut Fits, is_passed: &mut IsPassed) -> Fit<()> {
        let mut event = Event::default();
        if !self.fields.iter().any(|(_, field)| *field == Field::Model) {
            event.layout = Some(self.models.get(&b""[..]).copied().ok_or(Misfit)?);
        }
        let read =
            self.fields_of(data, &mut event, is_passed).and_then(|()| self.deferred(&event, is_passed));
        let kept = read.and_then(|()| self.keep(&event, fits));
        if let (Err(Misfit), Some(at)) = (&kept, event.layout) {
            self.layouts[at].forget_last();
        }
        kept
    }

    fn fields_of<'a>(&mut self, data: &'a [u8], event: &mut Event<'a>, is_passed: &mut IsPassed) -> Fit<()> {
        let mut cursor = Cursor::of(data)?;
        let mut expected = 0;
        let mut more = cursor.first_member()?;
        while more {
            match self.name(&mut cursor, &mut expected)? {
                Some(field) if event.seen & bit(field) != 0 => return Err(Misfit),
                Some(field) => {
                    event.seen |= bit(field);
                    self.field(field, &mut cursor, event, is_passed)?;
                }
                None => cursor.skip()?,
            }
            more = cursor.next_member()?;
        }
        cursor.end()?;
        if event.seen & self.required == self.required {
            Ok(())
        } else {
            Err(Misfit)
        }
    }

    /// Read a name, up to its value: of which field it is, if of any.
    #[inline(always)]
    fn name(&mut self, cursor: &mut Cursor, expected: &mut usize) -> Fit<Option<Field>> {
        if let Some((quoted, field)) = self.order.get(*expected) {
            if quoted.take(cursor) {
                *expected += 1;
                return Ok(*field);
            }
        }
        let name = cursor.name()?;
        if let Some(at) = self.order.iter().position(|(quoted, _)| quoted.name() == name) {
            *expected = at + 1;
            return Ok(self.order[at].1);
        }
        let field = self.fields.iter().find(|(known, _)| **known == *name).map(|(_, field)| *field);
        if field.is_some() || self.order.len() < NAMES_KEPT_MAX {
            self.order.push((Quoted::new(name), field));
            *expected = self.order.len();
        }
        Ok(field)
    }

    #[inline(always)]
    fn field<'a>(
        &mut self,
        field: Field,
        cursor: &mut Cursor<'a>,
        event: &mut Event<'a>,
        is_passed: &mut IsPassed,
    ) -> Fit<()> {
        match field {
            Field::Model => {
                let model = cursor.text()?;
                let known = self.models.get(model.utf8(&mut self.room)?);
                event.layout = Some(*known.ok_or(Misfit)?);
            }
            Field::Id => event.id = name(cursor)?,
            Field::Version => event.version = name(cursor)?,
            Field::Role if cursor.take(b"null") => {}
            Field::Role => event.role = Some(cursor.text()?),
            Field::Time if cursor.peek() == b'"' => event.time = Some(Time::Text(cursor.text()?)),
            Field::Time => event.time = Some(Time::Ms(cursor.natural(TIME_MS_END)? as i64)),
            Field::Features | Field::Outputs => match event.layout {
                Some(at) => self.signals(field, at, cursor, is_passed)?,
                // The model is still to come.
                None => {
                    let later =
                        if field == Field::Features { &mut event.features } else { &mut event.outputs };
                    *later = Some(*cursor);
                    cursor.skip()?;
                }
            },
        }
        Ok(())
    }

    #[inline(always)]
    fn signals(&mut self, field: Field, at: usize, cursor: &mut Cursor, is_passed: &mut IsPassed) -> Fit<()> {
        let layout = &mut self.layouts[at];
        let row = layout.places.len();
        let signals = if field == Field::Features { &mut layout.features } else { &mut layout.outputs };
        let mut is_passed = |name: &[u8]| is_passed(name, field == Field::Features);
        signals.read(cursor, row, &mut self.dictionary, &mut self.room, &mut is_passed)
    }

    fn deferred(&mut self, event: &Event, is_passed: &mut IsPassed) -> Fit<()> {
        let at = event.layout.ok_or(Misfit)?;
        for (field, place) in [(Field::Features, event.features), (Field::Outputs, event.outputs)] {
            if let Some(mut cursor) = place {
                self.signals(field, at, &mut cursor, is_passed)?;
            }
        }
        Ok(())
    }

    /// Take an event in whose signals are in their columns. On a misfit nothing but a stream was added.
    fn keep(&mut self, event: &Event, fits: &mut Fits) -> Fit<()> {
        let layout = event.layout.ok_or(Misfit)?;
        let place = fits.stream.len();
        let stream = self.stream(layout, event, fits)?;
        let (time, time_text) = match &event.time {
            Some(Time::Ms(ms)) => (*ms, None),
            Some(Time::Text(text)) => (0, Some(text.utf8(&mut self.room)?.to_vec())),
            None => (0, None),
        };
        fits.ids.push(event.id.as_ref().map(|id| id.utf8(&mut self.room)).transpose()?);
        fits.time_texts.extend(time_text.map(|text| (place, text)));
        fits.times.push(time);
        fits.stream.push(stream as i64);
        self.layouts[layout].places.push(place as i64);
        Ok(())
    }

    /// Which of the streams is that of an event; a new one where it is none.
    fn stream(&mut self, layout: usize, event: &Event, fits: &mut Fits) -> Fit<usize> {
        if let Some(last) = fits.stream.last().map(|last| *last as usize) {
            if fits.streams[last].is(layout, &event.version, &event.role) {
                return Ok(last);
            }
        }
        self.key.clear();
        self.key.extend_from_slice(&layout.to_le_bytes());
        for name in [&event.version, &event.role] {
            let text = name.as_ref().map(|text| text.utf8(&mut self.room)).transpose()?;
            let length = text.map_or(usize::MAX, <[u8]>::len);
            self.key.extend_from_slice(&length.to_le_bytes());
            self.key.extend_from_slice(text.unwrap_or_default());
        }
        if let Some(known) = fits.known.get(&self.key) {
            return Ok(*known);
        }
        let mut owned = |name: &Option<Text>| match name {
            Some(text) => text.utf8(&mut self.room).map(|text| Some(text.to_vec())),
            None => Ok(None),
        };
        let stream = Stream { layout, version: owned(&event.version)?, role: owned(&event.role)? };
        fits.known.insert(self.key.clone(), fits.streams.len());
        fits.streams.push(stream);
        Ok(fits.streams.len() - 1)
    }

    /// Make ready for another batch: the rows are gone, the layouts stay.
    pub fn clear(&mut self) {
        let cells: usize = self.layouts.iter().map(Layout::cells).sum();
        for layout in &mut self.layouts {
            layout.clear(cells <= CELLS_KEPT_MAX);
        }
    }
}

fn bit(field: Field) -> u8 {
    1 << field as u8
}

/// A text, or a whole number as its text; None for null.
#[inline(always)]
fn name<'a>(cursor: &mut Cursor<'a>) -> Fit<Option<Text<'a>>> {
    match cursor.peek() {
        b'"' => cursor.text().map(Some),
        b'n' if cursor.take(b"null") => Ok(None),
        _ => cursor.integer().map(Some),
    }
}
