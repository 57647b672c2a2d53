//! The texts of a list, appended: numbers, quantities, times. They are those of [`Quantity`], [`rfc3339_seconds`] and
//! [`go_duration`], which would each allocate.

use std::io::Write as _;

use flyball_model::quantity::Quantity;
use flyball_model::time::{go_duration, rfc3339_seconds};

const SECOND_NS: i64 = 1_000_000_000;
const MS_NS: i64 = 1_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const DECIMAL: [&[u8]; 10] = [b"n", b"u", b"m", b"", b"k", b"M", b"G", b"T", b"P", b"E"];
/// Where in [`DECIMAL`] the unit without suffix stands.
const ONE: usize = 3;
const BINARY: [&[u8]; 7] = [b"", b"Ki", b"Mi", b"Gi", b"Ti", b"Pi", b"Ei"];

/// All digits of 64 bits, and a suffix.
const LONGEST: usize = 22;

pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// As [`Quantity::from_nanocores`].
pub(super) fn push_nanocores(out: &mut Vec<u8>, nanocores: u64) {
    match i64::try_from(nanocores) {
        Ok(_) => push_decimal(out, nanocores, 0),
        Err(_) => push_slowly(out, &Quantity::from_nanocores(nanocores)),
    }
}

/// As [`Quantity::from_bytes`].
pub(super) fn push_bytes(out: &mut Vec<u8>, mut bytes: u64) {
    if i64::try_from(bytes).is_err() {
        return push_slowly(out, &Quantity::from_bytes(bytes));
    }
    if bytes < 1024 {
        return push_decimal(out, bytes, ONE);
    }
    let mut unit = 0;
    while bytes.is_multiple_of(1024) && unit + 1 < BINARY.len() {
        bytes /= 1024;
        unit += 1;
    }
    push_number(out, bytes);
    out.extend_from_slice(BINARY[unit]);
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64, mut unit: usize) {
    if number == 0 {
        return out.push(b'0');
    }
    while number.is_multiple_of(1000) && unit + 1 < DECIMAL.len() {
        number /= 1000;
        unit += 1;
    }
    push_number(out, number);
    out.extend_from_slice(DECIMAL[unit]);
}

/// Length of what [`push_nanocores`] appends; of more than 64 bits with a sign hold, at most that.
pub(super) fn nanocores_len(nanocores: u64) -> usize {
    decimal_len(nanocores, 0)
}

/// The same of [`push_bytes`].
pub(super) fn bytes_len(bytes: u64) -> usize {
    if i64::try_from(bytes).is_err() {
        return LONGEST;
    }
    if bytes < 1024 {
        return decimal_len(bytes, ONE);
    }
    let unit = (bytes.trailing_zeros() as usize / 10).min(BINARY.len() - 1);
    digits(bytes >> (10 * unit)) + BINARY[unit].len()
}

fn decimal_len(mut number: u64, mut unit: usize) -> usize {
    if number == 0 {
        return 1;
    }
    while number.is_multiple_of(1000) && unit + 1 < DECIMAL.len() {
        number /= 1000;
        unit += 1;
    }
    digits(number) + DECIMAL[unit].len()
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |power| power as usize + 1)
}

fn push_slowly(out: &mut Vec<u8>, text: &impl std::fmt::Display) {
    // Writing into memory does not fail.
    let _ = write!(out, "{text}");
}

/// As [`go_duration`]; the usual lengths, milliseconds below a minute, are written at once.
pub(super) fn push_window(out: &mut Vec<u8>, window_ns: i64) {
    if !(SECOND_NS..MINUTE_NS).contains(&window_ns) || window_ns % MS_NS != 0 {
        return out.extend_from_slice(go_duration(window_ns.into()).as_bytes());
    }
    push_number(out, (window_ns / SECOND_NS).unsigned_abs());
    let ms = (window_ns % SECOND_NS / MS_NS) as u16;
    if ms != 0 {
        let digits = [b'.', b'0' + (ms / 100) as u8, b'0' + (ms / 10 % 10) as u8, b'0' + (ms % 10) as u8];
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(&digits[..digits.len() - zeros]);
    }
    out.push(b's');
}

/// Texts of the seconds met lately: a list of thousands of pods has a few dozen different ones.
pub(super) struct Times(Vec<Option<(i64, String)>>);

const TIMES: usize = 64;

impl Times {
    pub(super) fn new() -> Times {
        Times(vec![None; TIMES])
    }

    /// As [`rfc3339_seconds`].
    pub(super) fn push(&mut self, out: &mut Vec<u8>, unix_ms: i64) {
        let seconds = unix_ms.div_euclid(1000);
        let slot = &mut self.0[seconds.rem_euclid(TIMES as i64) as usize];
        let text = match slot {
            Some((known, text)) if *known == seconds => text,
            _ => &slot.insert((seconds, rfc3339_seconds(unix_ms))).1,
        };
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn check(value: u64) {
        assert_eq!(text(|out| push_number(out, value)), value.to_string());
        assert_eq!(text(|out| push_nanocores(out, value)), Quantity::from_nanocores(value).to_string());
        assert_eq!(text(|out| push_bytes(out, value)), Quantity::from_bytes(value).to_string());
        let nanocores = Quantity::from_nanocores(value).to_string().len();
        let bytes = Quantity::from_bytes(value).to_string().len();
        for (length, is) in [(nanocores_len(value), nanocores), (bytes_len(value), bytes)] {
            assert!(length >= is, "{value}");
            assert!(length == is || i64::try_from(value).is_err(), "{value}: {length} for {is}");
        }
    }

    #[test]
    fn edges() {
        let powers = (0..20).map(|power| 10_u64.pow(power)).chain((0..64).map(|power| 1_u64 << power));
        for value in powers.chain([0, u64::MAX, i64::MAX as u64]) {
            for value in [value.saturating_sub(1), value, value.saturating_add(1), value.saturating_mul(3)] {
                check(value);
            }
        }
    }

    proptest! {
        #[test]
        fn the_same_texts(value: u64, shift in 0_u32..64, window_ns: i64, ms in 0_i64..90_000, at in -10_i64..4_000_000_000) {
            check(value >> shift);
            for window_ns in [window_ns, ms * MS_NS, window_ns % MINUTE_NS] {
                prop_assert_eq!(text(|out| push_window(out, window_ns)), go_duration(window_ns.into()));
            }
            let mut times = Times::new();
            for ms in [at * 1000, at * 1000 + 64_000, at * 1000 + 999] {
                prop_assert_eq!(text(|out| times.push(out, ms)), rfc3339_seconds(ms));
            }
        }
    }
}
