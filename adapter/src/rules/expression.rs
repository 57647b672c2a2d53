//! Go's regular expressions, not anchored, and its replacement texts.

use flyball_tsdb::promql::pattern;
use regex::{Captures, Regex, RegexBuilder};

/// Most bytes a compiled expression may take.
const MAX_COMPILED_BYTES: usize = 10 << 20;

/// Compiles an expression in RE2's syntax.
pub(super) fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(&pattern::translate(text)).size_limit(MAX_COMPILED_BYTES).build().map_err(|error| {
        let reason = error.to_string();
        format!("invalid regular expression {text:?}: {}", reason.lines().last().unwrap_or_default())
    })
}

/// A replacement text filled in as Go does: `$1`, `${name}`, `$$`; what is not captured is empty.
pub(super) fn expand(replacement: &str, captures: &Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = replacement;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = reference(rest) else {
            out.push('$');
            continue;
        };
        // A number without leading zeros is a group's number, everything else a group's name.
        let number =
            !(name.len() > 1 && name.starts_with('0')) && name.bytes().all(|byte| byte.is_ascii_digit());
        let group = match name.parse::<usize>() {
            Ok(index) if number => captures.get(index),
            _ => captures.name(name),
        };
        out.push_str(group.map_or("", |group| group.as_str()));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The name after a dollar sign, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (body, braced) = text.strip_prefix('{').map_or((text, false), |body| (body, true));
    let end = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    let after = if braced { after.strip_prefix('}')? } else { after };
    (!name.is_empty()).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_as_in_go() {
        let regex = compile("^(?P<kind>[a-z]+)_(.*)_total$").unwrap();
        let captures = regex.captures("http_requests_total").unwrap();
        for (replacement, expected) in [
            ("$0", "http_requests_total"),
            ("$2", "requests"),
            ("${kind}.${2}", "http.requests"),
            ("$kind", "http"),
            ("$1x", ""),
            ("${1}x", "http"),
            ("$01", ""),
            ("$9", ""),
            ("$$1", "$1"),
            ("a$", "a$"),
            ("${1", "${1"),
            ("$-", "$-"),
        ] {
            let expected = if replacement == "${1}x" { "httpx" } else { expected };
            assert_eq!(expand(replacement, &captures), expected, "{replacement}");
        }
    }

    #[test]
    fn not_anchored_and_re2() {
        assert!(compile("my_.*").unwrap().is_match("in_my_label"));
        assert!(compile("\\Qa.b\\E").unwrap().is_match("a.b"));
        assert!(compile("a(").unwrap_err().starts_with("invalid regular expression \"a(\""));
    }
}
