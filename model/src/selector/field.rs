//! Field selectors: `metadata.name=a,status.phase!=Running`.

use std::fmt;

use super::{MAX_TEXT_BYTES, SelectorError};

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// Path of the field, for example `metadata.name`; which paths exist is for the server to say.
    pub path: String,
    /// `!=` instead of `=`.
    pub negated: bool,
    /// The value without escapes; may be empty.
    pub value: String,
}

/// Conditions that all must hold. None: everything matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(pub Vec<FieldRequirement>);

impl FieldSelector {
    /// Reads `path=value`, `path==value` and `path!=value`, joined by commas. In values a backslash escapes `\`, `,` and `=`.
    ///
    /// # Errors
    /// With upstream's message.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(SelectorError(format!(
                "field selector of {} bytes, more than {MAX_TEXT_BYTES}",
                text.len()
            )));
        }
        let mut terms = terms(text);
        terms.sort_unstable();
        let requirements = terms.into_iter().filter(|term| !term.is_empty()).map(|term| {
            let (path, negated, value) = split(term).ok_or_else(|| {
                SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'"))
            })?;
            Ok(FieldRequirement { path: path.to_owned(), negated, value: unescape(value)? })
        });
        Ok(FieldSelector(requirements.collect::<Result<_, _>>()?))
    }

    /// Whether all conditions hold; an absent field is the empty text, as upstream has it.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| {
            (get(&requirement.path).unwrap_or("") == requirement.value) != requirement.negated
        })
    }

    /// Whether there are no conditions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Parts between commas that no backslash escapes.
fn terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Path, whether negated, value; split at the first operator.
fn split(term: &str) -> Option<(&str, bool, &str)> {
    let at = (0..term.len()).find(|at| {
        let rest = &term.as_bytes()[*at..];
        rest.starts_with(b"!=") || rest.starts_with(b"=")
    })?;
    let (path, rest) = term.split_at(at);
    match rest.strip_prefix("!=") {
        Some(value) => Some((path, true, value)),
        None => Some((path, false, rest.strip_prefix("==").or(rest.strip_prefix('='))?)),
    }
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            // Upstream prints the character's number here, by oversight.
            ',' | '=' => {
                let number = u32::from(c);
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {number}"
                )));
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if requirement.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{operator}", requirement.path)?;
            for c in requirement.value.chars() {
                let escape = if matches!(c, '\\' | ',' | '=') { "\\" } else { "" };
                write!(f, "{escape}{c}")?;
            }
        }
        Ok(())
    }
}
