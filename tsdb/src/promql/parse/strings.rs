//! Quoted texts, with the escapes of Go.
//!
//! Escapes may make bytes that are no UTF-8. Nothing that is stored has such bytes, so that a text with them equals nothing; each of
//! them is kept as a character of its own at the end of the last private plane, which nobody uses.

/// The text between the quotes.
///
/// # Errors
/// An escape that Go does not know.
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
        rest = escape(rest, quoted.as_bytes()[0], &mut bytes)?;
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(
            chunk.invalid().iter().map(|byte| char::from_u32(STRAY + u32::from(*byte)).unwrap_or_default()),
        );
    }
    Ok(text)
}

/// Where the characters begin that stand for bytes which are no UTF-8.
const STRAY: u32 = 0x10_FE00;

/// The byte that a character stands for, if it is one of those.
pub(crate) fn stray(character: char) -> Option<u8> {
    u32::from(character).checked_sub(STRAY).and_then(|byte| u8::try_from(byte).ok())
}

/// Whether a text may be the name of a label.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|character| stray(character).is_some())
}

/// As others can read it, who know of no such characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|character| stray(character).map_or(character, |_| char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Reads what follows a backslash; returns what is left.
fn escape<'a>(rest: &'a [u8], quote: u8, out: &mut Vec<u8>) -> Result<&'a [u8], String> {
    let Some((first, behind)) = rest.split_first() else {
        return Err("escape sequence not terminated".into());
    };
    let simple = match first {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        byte if *byte == quote => *byte,
        b'x' => return numeric(behind, 2, 16, false, quote, out),
        b'u' => return numeric(behind, 4, 16, true, quote, out),
        b'U' => return numeric(behind, 8, 16, true, quote, out),
        b'0'..=b'7' => return numeric(rest, 3, 8, false, quote, out),
        _ => return Err(format!("unknown escape sequence {}", named(rest))),
    };
    out.push(simple);
    Ok(behind)
}

/// The first character with its number: `U+0071 'q'`.
fn named(rest: &[u8]) -> String {
    let first = rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    let first = first.unwrap_or(char::REPLACEMENT_CHARACTER);
    format!("U+{:04X} '{first}'", u32::from(first))
}

/// `\x41`, `\101` give one byte, `\u00e4` a character.
fn numeric<'a>(
    rest: &'a [u8],
    digits: usize,
    radix: u32,
    character: bool,
    quote: u8,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], String> {
    let mut value = 0_u32;
    for at in 0..digits {
        // What follows the last one is the quote.
        let (byte, from) = match rest.get(at) {
            Some(byte) => (*byte, &rest[at..]),
            None => (quote, std::slice::from_ref(&quote)),
        };
        let Some(digit) = char::from(byte).to_digit(radix) else {
            return Err(format!("illegal character {} in escape sequence", named(from)));
        };
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    let text = if character { char::from_u32(value) } else { None };
    match (text, u8::try_from(value)) {
        (Some(text), _) => out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes()),
        (None, Ok(byte)) if !character => out.push(byte),
        _ => return Err("escape sequence is an invalid Unicode code point".into()),
    }
    Ok(&rest[digits..])
}

#[cfg(test)]
mod tests {
    use super::{is_name, shown, unquote};

    #[test]
    fn escapes_of_go() {
        assert_eq!(unquote(r#""a\n\x41\101\u00e4\"'""#).unwrap(), "a\nAA\u{e4}\"'");
        assert_eq!(unquote(r"`a\n`").unwrap(), r"a\n");
        assert_eq!(unquote("'\\xc3\\xa4'").unwrap(), "ä");
        for (bad, reason) in [
            (r#""\q""#, "unknown escape sequence U+0071 'q'"),
            (r#""\x4""#, "illegal character U+0022 '\"' in escape sequence"),
            (r#""\xfg""#, "illegal character U+0067 'g' in escape sequence"),
            (r#""\ud800""#, "escape sequence is an invalid Unicode code point"),
            (r#""\400""#, "escape sequence is an invalid Unicode code point"),
            (r#""\'""#, "unknown escape sequence U+0027 '''"),
        ] {
            assert_eq!(unquote(bad), Err(reason.to_owned()), "{bad}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_apart() {
        let text = unquote(r#""a\xc5z""#).unwrap();
        assert!(!is_name(&text) && is_name("a\u{fffd}z"));
        assert_eq!(shown(&text), "a\u{fffd}z");
        assert_eq!(crate::promql::print::quote(&text), r#""a\xc5z""#);
        assert_eq!(unquote(&crate::promql::print::quote(&text)).unwrap(), text);
    }
}
