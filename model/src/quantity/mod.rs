//! Kubernetes' resource quantities: `250m`, `1536Mi`, `1e3`.
//!
//! A quantity is an exact decimal number and the family of suffixes it was written in. What this module promises:
//!
//! * Text goes in as apimachinery's `ParseQuantity` reads it, and comes out in its canonical form: no fraction, the
//!   largest suffix that needs none, the family kept. So `1.5Gi` prints `1536Mi`, `0.5` prints `500m`, `1000m` prints `1`.
//! * Finer than a billionth is rounded away from zero to a billionth; binary quantities are capped at 2^63-1.
//! * Comparing is by value: `1` equals `1000m`.
//!
//! Two differences from the Go code, both on purpose. Text that Go hands back unchanged although it is not canonical
//! (`+1`, `05`, `1E3`) is printed canonically here; and text without any digit (`.`, `k`), which Go takes for zero, is
//! refused as its own message says.

mod format;
mod parse;
mod wire;

use std::cmp::Ordering;

use thiserror::Error;

/// Longest text that is read as a quantity, bytes.
pub const MAX_TEXT_BYTES: usize = 512;
/// Most significant digits a quantity keeps; more are refused (decimal) or beyond the cap anyway (binary).
pub const MAX_DIGITS: u32 = 38;
/// Largest exponent, in powers of ten, in either direction.
pub const MAX_EXPONENT: i32 = 10_000;

/// The scale of the smallest amount: a billionth.
const NANO: i32 = -9;

/// The family of suffixes a quantity is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantityFormat {
    /// `n u m k M G T P E`, powers of 1000.
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`, powers of 1024.
    BinarySi,
    /// `e3`, a power of ten that is a multiple of three.
    DecimalExponent,
}

/// Why a text is not a quantity. The first three messages are apimachinery's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// The text does not look like a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number part is no number, or has too many digits to be kept exactly.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is none of the known ones.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// The text is longer than [`MAX_TEXT_BYTES`].
    #[error("a quantity of {bytes} bytes, more than the {MAX_TEXT_BYTES} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// An exact amount: `digits × 10^scale`, kept without trailing zeros in `digits`.
#[derive(Clone, Copy)]
pub struct Quantity {
    digits: i128,
    scale: i32,
    format: QuantityFormat,
}

impl Quantity {
    /// Zero, in decimal SI.
    pub const ZERO: Quantity = Quantity { digits: 0, scale: 0, format: QuantityFormat::DecimalSi };

    /// `digits × 10^scale`, trailing zeros moved into the scale.
    fn new(mut digits: i128, mut scale: i32, format: QuantityFormat) -> Quantity {
        if digits == 0 {
            return Quantity { digits: 0, scale: 0, format };
        }
        while digits % 10 == 0 {
            digits /= 10;
            scale += 1;
        }
        Quantity { digits, scale, format }
    }

    /// CPU time per time, in billionths of a core; decimal SI.
    ///
    /// Above 2^63-1 the last digit is dropped, as metrics-server does.
    pub fn from_nanocores(nanocores: u64) -> Quantity {
        match i64::try_from(nanocores) {
            Ok(exact) => Quantity::new(exact.into(), NANO, QuantityFormat::DecimalSi),
            Err(_) => Quantity::new((nanocores / 10).into(), NANO + 1, QuantityFormat::DecimalSi),
        }
    }

    /// Bytes; binary SI.
    ///
    /// Above 2^63-1 the last digit is dropped, as metrics-server does.
    pub fn from_bytes(bytes: u64) -> Quantity {
        match i64::try_from(bytes) {
            Ok(exact) => Quantity::new(exact.into(), 0, QuantityFormat::BinarySi),
            Err(_) => Quantity::new((bytes / 10).into(), 1, QuantityFormat::BinarySi),
        }
    }

    /// A whole number of units.
    pub fn from_value(value: i64, format: QuantityFormat) -> Quantity {
        Quantity::new(value.into(), 0, format)
    }

    /// A whole number of thousandths.
    pub fn from_milli(milli: i64, format: QuantityFormat) -> Quantity {
        Quantity::new(milli.into(), -3, format)
    }

    /// The family of suffixes it prints in.
    pub fn format(&self) -> QuantityFormat {
        self.format
    }

    /// The amount in units, rounded away from zero, saturating.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The amount in thousandths, rounded away from zero, saturating.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    /// The amount in billionths, exact; `None` when it does not fit.
    pub fn nano_value(&self) -> Option<i128> {
        // No quantity is finer than a billionth, so this only ever multiplies.
        let shift = u32::try_from(self.scale - NANO).ok()?;
        if self.digits == 0 {
            return Some(0);
        }
        self.digits.checked_mul(10i128.checked_pow(shift)?)
    }

    /// The amount as a float, computed as apimachinery's `AsApproximateFloat64` on the canonical form:
    /// `570m` is `570 × 1e-3`, which differs from `570 / 1000` in the last bit for some values.
    pub fn as_f64(&self) -> f64 {
        let (digits, exponent) = self.canonical_parts();
        match exponent {
            0 => digits as f64,
            -9 => digits as f64 * 1e-9,
            -6 => digits as f64 * 1e-6,
            -3 => digits as f64 * 1e-3,
            3 => digits as f64 * 1e3,
            6 => digits as f64 * 1e6,
            9 => digits as f64 * 1e9,
            12 => digits as f64 * 1e12,
            15 => digits as f64 * 1e15,
            18 => digits as f64 * 1e18,
            // Exact decimal-to-float conversion of the power, as Go's table of powers.
            other => digits as f64 * format!("1e{other}").parse::<f64>().unwrap_or(f64::INFINITY),
        }
    }

    /// Whether it is more than zero.
    pub fn is_positive(&self) -> bool {
        self.digits > 0
    }

    /// Whether it is less than zero.
    pub fn is_negative(&self) -> bool {
        self.digits < 0
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.digits == 0
    }

    /// The sum, in the format of `self` unless that is zero; `None` when it does not fit.
    pub fn checked_add(&self, other: &Quantity) -> Option<Quantity> {
        let format = if self.is_zero() { other.format } else { self.format };
        if self.is_zero() || other.is_zero() {
            let kept = if self.is_zero() { other } else { self };
            return Some(Quantity { format, ..*kept });
        }
        let scale = self.scale.min(other.scale);
        let at_scale = |quantity: &Quantity| {
            let shift = u32::try_from(quantity.scale - scale).ok()?;
            quantity.digits.checked_mul(10i128.checked_pow(shift)?)
        };
        Some(Quantity::new(at_scale(self)?.checked_add(at_scale(other)?)?, scale, format))
    }

    /// `amount / 10^scale`, rounded away from zero, saturating.
    fn scaled(&self, scale: i32) -> i64 {
        let shift = self.scale - scale;
        let power = 10i128.checked_pow(shift.unsigned_abs());
        let wide = match (power, shift >= 0) {
            (Some(power), true) => self.digits.saturating_mul(power),
            (Some(power), false) => {
                let quotient = self.digits / power;
                if self.digits % power == 0 { quotient } else { quotient + self.digits.signum() }
            }
            (None, true) => self.digits.signum() * i128::MAX,
            (None, false) => self.digits.signum(),
        };
        wide.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// Number of decimal digits before the point (may be negative); the order of magnitude.
    fn magnitude(&self) -> i32 {
        self.digits.unsigned_abs().checked_ilog10().map_or(i32::MIN, |log| log as i32 + self.scale)
    }
}

impl Default for Quantity {
    fn default() -> Quantity {
        Quantity::ZERO
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let signs = self.digits.signum().cmp(&other.digits.signum());
        if signs.is_ne() || self.is_zero() {
            return signs;
        }
        let magnitudes = self.magnitude().cmp(&other.magnitude());
        if magnitudes.is_ne() {
            return if self.is_negative() { magnitudes.reverse() } else { magnitudes };
        }
        // Equal magnitude: aligned, both have at most MAX_DIGITS + 1 digits, which 128 bits hold.
        let scale = self.scale.min(other.scale);
        let aligned = |quantity: &Quantity| {
            quantity.digits.saturating_mul(10i128.saturating_pow((quantity.scale - scale) as u32))
        };
        aligned(self).cmp(&aligned(other))
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

#[cfg(test)]
mod tests;
