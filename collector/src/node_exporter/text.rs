//! The pieces of kernel text: lines, fields, numbers. Nothing allocates, nothing panics, whatever the input; what is no
//! number is `None`, never 0.

/// Lines without their ends; what follows the last one is a line only when there is something.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// What stands between blanks.
pub fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|field| !field.is_empty())
}

/// A whole field of decimal digits that fits 64 bits.
pub fn number(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// As [`number`], with a sign.
pub fn signed(field: &[u8]) -> Option<i64> {
    match field {
        [b'-', rest @ ..] => 0_i64.checked_sub_unsigned(number(rest)?),
        _ => i64::try_from(number(field)?).ok(),
    }
}

/// A whole field of hexadecimal digits, with or without `0x`, that fits 64 bits.
pub fn hex(field: &[u8]) -> Option<u64> {
    let field = field.strip_prefix(b"0x").unwrap_or(field);
    if field.is_empty() || field.len() > 16 {
        return None;
    }
    field.iter().try_fold(0_u64, |value, byte| Some(value << 4 | u64::from(char::from(*byte).to_digit(16)?)))
}

/// A decimal fraction.
pub fn float(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Text for a label or a name; what is not UTF-8 is shown as the sign for that.
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_their_field() {
        for (field, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("1x", None),
        ] {
            assert_eq!(number(field.as_bytes()), expected, "{field}");
        }
        assert_eq!((signed(b"-1"), signed(b"-9223372036854775808")), (Some(-1), Some(i64::MIN)));
        assert_eq!((signed(b"7"), signed(b"--1"), signed(b"-")), (Some(7), None, None));
        assert_eq!(
            (hex(b"0x1303"), hex(b"00ff"), hex(b""), hex(b"0x")),
            (Some(0x1303), Some(255), None, None)
        );
        assert_eq!((hex(b"ffffffffffffffff"), hex(b"10000000000000000")), (Some(u64::MAX), None));
        assert_eq!((float(b"1.25"), float(b"x"), float(b"inf")), (Some(1.25), None, None));
    }
}
