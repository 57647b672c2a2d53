//! Query parameters and percent-encoding, decoded as Go's `net/url` does.

/// The decoded query of a URL, in order, repeated names kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the text after `?`. A pair whose encoding is broken is dropped, as Go's `URL.Query` does.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter, if it is present.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub fn all<'q>(&'q self, name: &str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter by Kubernetes' rule: present means true unless it says `false` or `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// Whether a parameter is present at all.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

/// Percent-decodes; `plus` turns `+` into a space, as in queries but not in paths. `None` when an escape is
/// malformed or the result is not UTF-8.
pub fn decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let (high, low) = (hex_digit(bytes.next()?)?, hex_digit(bytes.next()?)?);
                high << 4 | low
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode_like_go() {
        let query = Query::parse("labelSelector=app%3Dx,b+in+%28c%29&watch&a=1&a=2&bad=%zz&limit=");
        assert_eq!(query.first("labelSelector"), Some("app=x,b in (c)"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((query.has("bad"), query.first("limit")), (false, Some("")));
        let flags =
            [("w", true), ("w=", true), ("w=true", true), ("w=0", false), ("w=False", false), ("x", false)];
        for (text, expected) in flags {
            assert_eq!(Query::parse(text).flag("w"), expected, "{text}");
        }
    }

    #[test]
    fn paths_keep_a_plus_sign() {
        assert_eq!(decode("a+b%2Fc", false).as_deref(), Some("a+b/c"));
        assert_eq!(decode("a%2", false), None);
    }
}
