//! Quoted texts, with the escapes of Go.

/// The text between the quotes.
///
/// # Errors
/// An escape that Go does not know, or bytes that are no UTF-8.
pub(super) fn unquote(quoted: &str) -> Result<String, String> {
    let quote = quoted.chars().next().ok_or("empty string literal")?;
    let inner = &quoted[1..quoted.len().max(2) - 1];
    if quote == '`' {
        return Ok(inner.replace('\r', ""));
    }
    if !inner.contains('\\') {
        return Ok(inner.into());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        rest = escape(rest, quote, &mut bytes).ok_or_else(|| "invalid syntax".to_owned())?;
    }
    String::from_utf8(bytes).map_err(|_| "string literal is not valid UTF-8".into())
}

/// Reads what follows a backslash; returns what is left.
fn escape<'a>(rest: &'a [u8], quote: char, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, behind) = rest.split_first()?;
    let simple = match first {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        byte if char::from(*byte) == quote => *byte,
        b'x' => return numeric(behind, 2, 16, false, out),
        b'u' => return numeric(behind, 4, 16, true, out),
        b'U' => return numeric(behind, 8, 16, true, out),
        b'0'..=b'7' => return numeric(rest, 3, 8, false, out),
        _ => return None,
    };
    out.push(simple);
    Some(behind)
}

/// `\x41`, `\101` give one byte, `\u00e4` a character.
fn numeric<'a>(
    rest: &'a [u8],
    digits: usize,
    radix: u32,
    character: bool,
    out: &mut Vec<u8>,
) -> Option<&'a [u8]> {
    let text = std::str::from_utf8(rest.get(..digits)?).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u32::from_str_radix(text, radix).ok()?;
    if character {
        out.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(value).ok()?);
    }
    Some(&rest[digits..])
}

#[cfg(test)]
mod tests {
    use super::unquote;

    #[test]
    fn escapes_of_go() {
        assert_eq!(unquote(r#""a\n\x41\101\u00e4\"'""#).unwrap(), "a\nAA\u{e4}\"'");
        assert_eq!(unquote(r"`a\n`").unwrap(), r"a\n");
        assert_eq!(unquote("'\\xc3\\xa4'").unwrap(), "ä");
        for bad in [r#""\q""#, r#""\x4""#, r#""\ud800""#, r#""\xff""#, r#""\400""#, r#""\'""#] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }
}
