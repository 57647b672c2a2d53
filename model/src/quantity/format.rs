//! Quantity to canonical text.

use std::fmt;

use super::{Quantity, QuantityFormat};

const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// The integer and the power of ten of the canonical form.
    pub(super) fn canonical_parts(&self) -> (i128, i32) {
        match self.whole_units() {
            Some(units) if self.format == QuantityFormat::BinarySi => (units, 0),
            _ => self.thousands(),
        }
    }

    /// `digits × 10^exponent` with an exponent that is a multiple of three (and has a suffix, in decimal SI).
    fn thousands(&self) -> (i128, i32) {
        if self.digits == 0 {
            return (0, 0);
        }
        // Go prints amounts of 1000E and more without suffix, a thousand times too small or worse; E is kept here.
        let largest = if self.format == QuantityFormat::DecimalExponent { i32::MAX } else { 18 };
        let exponent = (self.scale - self.scale.rem_euclid(3)).min(largest);
        match 10i128
            .checked_pow((self.scale - exponent) as u32)
            .and_then(|power| self.digits.checked_mul(power))
        {
            Some(digits) => (digits, exponent),
            // Too many zeros to write out: the shortest form that still reads back.
            None => (self.digits, self.scale),
        }
    }

    /// The amount as a whole number, when it is one that fits.
    fn whole_units(&self) -> Option<i128> {
        let power = 10i128.checked_pow(u32::try_from(self.scale).ok()?)?;
        self.digits.checked_mul(power)
    }
}

fn decimal_suffix(exponent: i32) -> Option<&'static str> {
    Some(match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        0 => "",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => return None,
    })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.format == QuantityFormat::BinarySi
            && let Some(mut units) = self.whole_units().filter(|units| units.unsigned_abs() >= 1024)
        {
            let mut thousands = 0;
            while thousands + 1 < BINARY_SUFFIXES.len() && units % 1024 == 0 {
                units /= 1024;
                thousands += 1;
            }
            return write!(f, "{units}{}", BINARY_SUFFIXES[thousands]);
        }
        let (digits, exponent) = self.thousands();
        match decimal_suffix(exponent) {
            Some(suffix) if self.format != QuantityFormat::DecimalExponent => write!(f, "{digits}{suffix}"),
            _ if exponent == 0 => write!(f, "{digits}"),
            _ => write!(f, "{digits}e{exponent}"),
        }
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}
