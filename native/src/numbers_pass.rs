//! What the numbers of one signal in one cell say: stream_monitor/summary/numbers.py, a value at a time.
//!
//! Loops are short and of one kind of arithmetic each, so that the compiler makes vectors of them.

/// So many values are looked at together: little enough for the first cache.
pub const CHUNK: usize = 512;

// As stream_monitor/summary/codes.py has them.
const EXPONENT_MIN: i32 = -30;
const EXPONENT_MAX: i32 = 63;
const FINE_PER_OCTAVE: i32 = 1 << 12;
pub const FINE_MAX: i32 = (EXPONENT_MAX - EXPONENT_MIN) * FINE_PER_OCTAVE + 1;
const FIRST_CODE: i32 = (127 + EXPONENT_MIN) * FINE_PER_OCTAVE - 1;
const DROPPED_BITS: i32 = 11;
const MAGNITUDE: i32 = 0x7FFF_FFFF;

/// As stream_monitor/summary/grid.py has it.
const STEPS_MAX: i32 = (1 << 19) - 1;
/// Beyond all steps that count, and well within int32.
const FAR: f64 = (1 << 20) as f64;
/// A number of this size has units as its last bits: adding it rounds as rint does, ties to even.
const ROUNDING: f64 = (3u64 << 51) as f64;

/// What is asked of the numbers of a signal.
pub struct Asked {
    pub center: f64,
    pub range: Option<(f64, f64)>,
    /// Center and unit.
    pub grid: Option<(f64, f64)>,
}

/// A sum and a sum of squares, exact up to 2^25 values.
#[derive(Default)]
pub struct Sums {
    pub sum: i64,
    pub squares: i64,
}

impl Sums {
    /// At most CHUNK whole numbers below 2^20.
    #[inline(always)]
    fn add(&mut self, whole: &[i32]) {
        self.sum += i64::from(whole.iter().sum::<i32>());
        let square = |one: &i32| u64::from(one.unsigned_abs()) * u64::from(one.unsigned_abs());
        self.squares += whole.iter().map(square).sum::<u64>() as i64;
    }
}

/// The counts, sums and extremes of the numbers so far.
pub struct Said {
    pub nan: i64,
    pub infinite: i64,
    pub out_of_range: i64,
    pub clipped: i64,
    pub fine: Sums,
    pub grid: Sums,
    least: i32,
    most: i32,
}

impl Said {
    pub fn nothing() -> Self {
        Said {
            nan: 0,
            infinite: 0,
            out_of_range: 0,
            clipped: 0,
            fine: Sums::default(),
            grid: Sums::default(),
            least: i32::MAX,
            most: i32::MIN,
        }
    }

    /// The least and the greatest finite number, less the center; None where there is none.
    pub fn extremes(&self) -> Option<(f32, f32)> {
        // Adding zero makes -0.0 zero.
        let value = |ordered: i32| f32::from_bits(in_order(ordered) as u32) + 0.0;
        (self.least <= self.most).then(|| (value(self.least), value(self.most)))
    }

    /// The least and the greatest fine code.
    #[inline(always)]
    pub fn codes(&self) -> Option<(i32, i32)> {
        (self.least <= self.most).then(|| (fine_code(in_order(self.least)), fine_code(in_order(self.most))))
    }

    /// Take in ``values``, which are changed. Their fine codes are in ``room``, which is as long; how many.
    #[inline(always)]
    pub fn add(&mut self, values: &mut [f64], room: &mut [i32], asked: &Asked) -> usize {
        let size = self.finite(values);
        let (values, whole) = (&values[..size], &mut room[..size]);
        if let Some((lowest, highest)) = asked.range {
            let outside = values.iter().map(|value| u64::from(*value < lowest || *value > highest));
            self.out_of_range += outside.sum::<u64>() as i64;
        }
        if let Some((center, unit)) = asked.grid {
            self.clipped += steps(values, center, unit, whole);
            self.grid.add(whole);
        }
        self.code(values, asked.center, whole);
        self.fine.add(whole);
        size
    }

    /// Put the finite numbers first, and count the others. How many are finite.
    #[inline(always)]
    fn finite(&mut self, values: &mut [f64]) -> usize {
        // Zero times what is not finite is NaN.
        if values.iter().map(|value| u64::from(value * 0.0 != 0.0)).sum::<u64>() == 0 {
            return values.len();
        }
        let mut size = 0;
        for at in 0..values.len() {
            let value = values[at];
            self.nan += i64::from(value.is_nan());
            self.infinite += i64::from(value.is_infinite());
            values[size] = value;
            size += usize::from(value.is_finite());
        }
        size
    }

    /// Fine codes, and the extremes.
    #[inline(always)]
    fn code(&mut self, values: &[f64], center: f64, codes: &mut [i32]) {
        let (mut least, mut most) = (self.least, self.most);
        for (code, value) in codes.iter_mut().zip(values) {
            let bits = ((value - center) as f32).to_bits() as i32;
            *code = fine_code(bits);
            least = least.min(in_order(bits));
            most = most.max(in_order(bits));
        }
        (self.least, self.most) = (least, most);
    }
}

/// The bits of float32 as integers of the same order, and back again.
#[inline(always)]
fn in_order(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & MAGNITUDE)
}

/// As fine_codes in stream_monitor/summary/codes.py, of the bits of a float32.
#[inline(always)]
fn fine_code(bits: i32) -> i32 {
    let magnitude = bits & MAGNITUDE;
    let code = ((magnitude >> DROPPED_BITS) - FIRST_CODE).min(FINE_MAX).max(magnitude.min(1));
    let sign = bits >> 31;
    (code ^ sign) - sign
}

/// Whole units from the center, clipped; how many were.
#[inline(always)]
fn steps(values: &[f64], center: f64, unit: f64, steps: &mut [i32]) -> i64 {
    let mut clipped = 0;
    for (step, value) in steps.iter_mut().zip(values) {
        let near = ((value - center) / unit).clamp(-FAR, FAR);
        let whole = (near + ROUNDING).to_bits() as i32;
        *step = whole.clamp(-STEPS_MAX, STEPS_MAX);
        clipped += i32::from(*step != whole);
    }
    i64::from(clipped)
}
