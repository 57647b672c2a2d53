//! Regular expressions as Prometheus means them: RE2's syntax, anchored at both ends, a dot matches every character.

use regex::Regex;

/// Most bytes a compiled expression may take.
const MAX_COMPILED_BYTES: usize = 10 << 20;

/// Compiles an expression, anchored at both ends.
///
/// # Errors
/// What is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?s:{})$", translate(pattern)))
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("invalid regular expression {pattern:?}: larger than {limit} bytes when compiled")
            }
            error => format!(
                "invalid regular expression {pattern:?}: {}",
                error.to_string().lines().last().unwrap_or_default()
            ),
        })
}

/// An expression of RE2 in the words of the `regex` crate: RE2 knows `\Q…\E` for literal text and `\z`, and takes a brace
/// that starts no repetition literally.
pub fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let end = quoted.find("\\E").unwrap_or(quoted.len());
            out.push_str(&regex::escape(&quoted[..end]));
            rest = quoted[end..].strip_prefix("\\E").unwrap_or_default();
            continue;
        }
        if first == '\\' {
            let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            // Rust refuses to escape characters without meaning; RE2 allows it for punctuation.
            match rest[1..length].chars().next() {
                Some('/' | '"' | '\'' | ',' | ' ' | '=' | ':' | ';' | '@' | '`' | '!' | '%' | '_') => {
                    out.push_str(&rest[1..length]);
                }
                _ => out.push_str(&rest[..length]),
            }
            // The braces of \p{…} and \x{…} are no repetition.
            let braced = matches!(&rest[1..length], "p" | "P" | "x") && rest[length..].starts_with('{');
            let close = if braced { rest[length..].find('}').map_or(0, |index| index + 1) } else { 0 };
            out.push_str(&rest[length..length + close]);
            rest = &rest[length + close..];
            continue;
        }
        if first == '{' && !starts_repetition(rest) {
            out.push_str("\\{");
        } else {
            out.push(first);
        }
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// `{2}`, `{2,}`, `{2,3}`.
fn starts_repetition(text: &str) -> bool {
    let Some((inner, _)) = text[1..].split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, "0"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    number(least) && (number(most) || most.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).unwrap().is_match(text)
    }

    #[test]
    fn anchored_and_dotall() {
        assert!(matches("a|b", "b") && !matches("a|b", "xb") && matches("a.b", "a\nb"));
        assert!(matches("", "") && !matches("", "a"));
    }

    #[test]
    fn syntax_of_re2() {
        assert!(matches("\\Qa.b\\E+", "a.bb") && !matches("\\Qa.b\\E", "axb"));
        assert!(matches("a{b}", "a{b}") && matches("a{2,}", "aaa") && matches("\\/x\\_", "/x_"));
        assert!(matches("\\p{Lu}x\\{", "Äx{") && matches("{a", "{a"));
        assert!(compile("a(").unwrap_err().starts_with("invalid regular expression \"a(\""));
        assert!(compile("(?:a{1000}){1000}").unwrap_err().contains("larger than"));
    }
}
