//! Text to quantity.

use std::str::FromStr;

use super::{MAX_DIGITS, MAX_EXPONENT, MAX_TEXT_BYTES, NANO, Quantity, QuantityError, QuantityFormat};

/// The power a suffix stands for.
enum Power {
    Ten(i32),
    Two(u32),
}

/// Largest binary quantity; larger ones are cut to it, as upstream does.
const MAX_BINARY: u128 = i64::MAX as u128;

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(QuantityError::TooLong { bytes: text.len() });
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = take_digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => take_digits(rest),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() || !looks_like_suffix(suffix) {
            return Err(QuantityError::Format);
        }
        let (power, format) = suffix_power(suffix).ok_or(QuantityError::Suffix)?;
        let amount = Amount::read(whole, fraction, power, format)?;
        // What is read is written with this exponent, and must read back.
        if amount.scale > MAX_EXPONENT {
            return Err(QuantityError::Suffix);
        }
        let digits = i128::try_from(amount.digits).map_err(|_| QuantityError::Numeric)?;
        Ok(Quantity::new(if negative { -digits } else { digits }, amount.scale, amount.format))
    }
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// `[eEinumkKMGTP]*[-+]?[0-9]*`
fn looks_like_suffix(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    rest.strip_prefix(['-', '+']).unwrap_or(rest).bytes().all(|byte| byte.is_ascii_digit())
}

fn suffix_power(suffix: &str) -> Option<(Power, QuantityFormat)> {
    use QuantityFormat::{BinarySi, DecimalExponent, DecimalSi};
    Some(match suffix {
        "n" => (Power::Ten(-9), DecimalSi),
        "u" => (Power::Ten(-6), DecimalSi),
        "m" => (Power::Ten(-3), DecimalSi),
        "" => (Power::Ten(0), DecimalSi),
        "k" => (Power::Ten(3), DecimalSi),
        "M" => (Power::Ten(6), DecimalSi),
        "G" => (Power::Ten(9), DecimalSi),
        "T" => (Power::Ten(12), DecimalSi),
        "P" => (Power::Ten(15), DecimalSi),
        "E" => (Power::Ten(18), DecimalSi),
        "Ki" => (Power::Two(10), BinarySi),
        "Mi" => (Power::Two(20), BinarySi),
        "Gi" => (Power::Two(30), BinarySi),
        "Ti" => (Power::Two(40), BinarySi),
        "Pi" => (Power::Two(50), BinarySi),
        "Ei" => (Power::Two(60), BinarySi),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            if exponent.abs() > MAX_EXPONENT {
                return None;
            }
            (Power::Ten(exponent), DecimalExponent)
        }
    })
}

/// An amount without sign, rounded up to billionths.
struct Amount {
    digits: u128,
    scale: i32,
    format: QuantityFormat,
}

impl Amount {
    fn read(
        whole: &str,
        fraction: &str,
        power: Power,
        format: QuantityFormat,
    ) -> Result<Amount, QuantityError> {
        // Decimal digits, most significant first, so that length is no concern before rounding.
        let mut decimal: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
        let mut scale = -(fraction.len() as i32);
        match power {
            Power::Ten(exponent) => scale += exponent,
            Power::Two(exponent) => multiply(&mut decimal, 1 << exponent),
        }
        round_up_to_nano(&mut decimal, &mut scale);
        let digits = strip(&decimal, &mut scale);
        let fits = digits.len() <= MAX_DIGITS as usize;
        if !fits && format != QuantityFormat::BinarySi {
            return Err(QuantityError::Numeric);
        }
        let value =
            digits.iter().try_fold(0u128, |sum, digit| sum.checked_mul(10)?.checked_add((*digit).into()));
        match (format, value) {
            (QuantityFormat::BinarySi, value) => Ok(binary(value.filter(|_| fits), scale)),
            (_, Some(digits)) => Ok(Amount { digits, scale, format }),
            (_, None) => Err(QuantityError::Numeric),
        }
    }
}

/// Caps a binary amount; one below a whole unit becomes decimal, which needs no rounding.
fn binary(digits: Option<u128>, scale: i32) -> Amount {
    let capped = Amount { digits: MAX_BINARY, scale: 0, format: QuantityFormat::BinarySi };
    let Some(digits) = digits else {
        return capped;
    };
    let power = 10u128.saturating_pow(scale.unsigned_abs());
    let too_large =
        if scale >= 0 { digits.saturating_mul(power) > MAX_BINARY } else { digits / power >= MAX_BINARY };
    if too_large {
        return capped;
    }
    let below_one = scale < 0 && digits > 0 && digits < power;
    let format = if below_one { QuantityFormat::DecimalSi } else { QuantityFormat::BinarySi };
    Amount { digits, scale, format }
}

/// Long multiplication of a digit string.
fn multiply(decimal: &mut Vec<u8>, factor: u64) {
    let mut carry = 0u128;
    for digit in decimal.iter_mut().rev() {
        carry += u128::from(*digit) * u128::from(factor);
        *digit = (carry % 10) as u8;
        carry /= 10;
    }
    while carry > 0 {
        decimal.insert(0, (carry % 10) as u8);
        carry /= 10;
    }
}

/// Drops digits finer than a billionth; if any of them was not zero, adds one billionth.
fn round_up_to_nano(decimal: &mut Vec<u8>, scale: &mut i32) {
    if *scale >= NANO {
        return;
    }
    let excess = (NANO - *scale) as usize;
    let kept = decimal.len().saturating_sub(excess);
    let inexact = decimal[kept..].iter().any(|digit| *digit != 0);
    decimal.truncate(kept);
    *scale = NANO;
    if inexact {
        for digit in decimal.iter_mut().rev() {
            *digit += 1;
            if *digit < 10 {
                return;
            }
            *digit = 0;
        }
        decimal.insert(0, 1);
    }
}

/// Without leading zeros, and without trailing ones, which move into the scale.
fn strip<'a>(decimal: &'a [u8], scale: &mut i32) -> &'a [u8] {
    let start = decimal.iter().position(|digit| *digit != 0).unwrap_or(decimal.len());
    let end = decimal.iter().rposition(|digit| *digit != 0).map_or(start, |last| last + 1);
    *scale += (decimal.len() - end) as i32;
    &decimal[start..end]
}
