//! Which series, labels and values there are.

use std::collections::BTreeSet;

use super::error::ApiError;
use super::params::{MAX_TIME_MS, MIN_TIME_MS};
use super::{Api, Data, Outcome, Params, TRUNCATED, json};
use crate::series::{Matcher, ReadError};

impl Api<'_> {
    /// `/series`
    pub(super) fn series(&self, params: &Params) -> Outcome {
        if params.all("match[]").next().is_none() {
            return Err(ApiError::bad_data("no match[] parameter provided"));
        }
        let limit = params.limit()?;
        let (start_ms, end_ms) = range(params)?;
        let mut found = BTreeSet::new();
        for selector in params.selectors().map_err(|error| error.in_parameter("match[]"))? {
            found.extend(self.source.series(&selector, start_ms, end_ms)?);
        }
        let mut sets: Vec<_> = found.into_iter().collect();
        let warnings = cut(&mut sets, limit);
        let mut out = String::new();
        json::list(&mut out, &sets, |out, set| json::labels(out, set));
        Ok(Data { json: out, warnings, ..Data::default() })
    }

    /// `/labels`
    pub(super) fn label_names(&self, params: &Params) -> Outcome {
        let (start_ms, end_ms) = range(params)?;
        texts(params, |matchers| self.source.label_names(matchers, start_ms, end_ms))
    }

    /// `/label/NAME/values`
    pub(super) fn label_values(&self, name: &str, params: &Params) -> Outcome {
        let name = unescaped(name);
        if name.is_empty() {
            return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
        }
        let (start_ms, end_ms) = range(params)?;
        texts(params, |matchers| self.source.label_values(&name, matchers, start_ms, end_ms))
    }
}

fn range(params: &Params) -> Result<(i64, i64), ApiError> {
    Ok((params.time_ms_or("start", MIN_TIME_MS)?, params.time_ms_or("end", MAX_TIME_MS)?))
}

/// What each selector yields, or everything when there is none.
fn texts(params: &Params, read: impl Fn(&[Matcher]) -> Result<Vec<String>, ReadError>) -> Outcome {
    let limit = params.limit()?;
    let selectors = params.selectors()?;
    let mut found = BTreeSet::new();
    if selectors.is_empty() {
        found.extend(read(&[])?);
    }
    for selector in selectors {
        found.extend(read(&selector)?);
    }
    let mut all: Vec<String> = found.into_iter().collect();
    let warnings = cut(&mut all, limit);
    Ok(Data { json: json::texts(&all), warnings, ..Data::default() })
}

fn cut<T>(items: &mut Vec<T>, limit: Option<usize>) -> Vec<String> {
    let Some(limit) = limit.filter(|limit| items.len() > *limit) else { return Vec::new() };
    items.truncate(limit);
    vec![TRUNCATED.into()]
}

/// `U__a_2e_b` is `a.b`: characters that a path cannot hold are written as their number. A text that does not follow the
/// rule is a name as it stands.
fn unescaped(name: &str) -> String {
    let Some(mut rest) = name.strip_prefix("U__") else { return name.into() };
    let mut out = String::new();
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('_') {
            out.push('_');
            rest = behind;
            continue;
        }
        let Some((digits, behind)) = rest.split_once('_') else { return name.into() };
        let Some(character) = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) else {
            return name.into();
        };
        out.push(character);
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escaped_names() {
        assert_eq!(unescaped("U__a_2e_b__c"), "a.b_c");
        assert_eq!(unescaped("plain_name"), "plain_name");
        assert_eq!(unescaped("U__a_zz_b"), "U__a_zz_b");
        assert_eq!(unescaped("U__a_2e"), "U__a_2e");
    }
}
