//! Addresses on the web, as far as targets and redirects need them. Pure.

use http::Uri;

/// What is fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    /// TLS or not.
    pub https: bool,
    /// Name or address without brackets.
    pub host: String,
    /// To dial.
    pub port: u16,
    /// Host and port as they were given.
    pub authority: String,
    /// Path and query, encoded.
    pub path: String,
}

impl Url {
    /// The host as it stands in an address, in brackets if it needs them.
    pub fn authority_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// Host without brackets, and the port if there is one.
pub(super) fn split_address(address: &str) -> Option<(&str, Option<u16>)> {
    let clean = |host: &str| {
        !host.is_empty()
            && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@[]".contains(c))
    };
    if let Some(inner) = address.strip_prefix('[') {
        let (host, rest) = inner.split_once(']')?;
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':')?.parse().ok()?),
        };
        return clean(host).then_some((host, port));
    }
    let (host, port) = match address.split_once(':') {
        None => (address, None),
        // Several colons without brackets are an IPv6 address without a port.
        Some((_, rest)) if rest.contains(':') => (address, None),
        Some((host, port)) => (host, Some(port.parse().ok()?)),
    };
    clean(host).then_some((host, port))
}

/// A path with a slash in front, in which what may not stand in one is escaped.
pub(super) fn encode_path(path: &str) -> String {
    let mut out = if path.starts_with('/') { String::new() } else { "/".to_owned() };
    encode(&mut out, path, |byte| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte));
    out
}

/// As Go's url.QueryEscape.
pub(super) fn encode_query(text: &str) -> String {
    let mut out = String::new();
    encode(&mut out, text, |byte| byte.is_ascii_alphanumeric() || b"-_.~ ".contains(&byte));
    out.replace(' ', "+")
}

fn encode(out: &mut String, text: &str, plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Where a redirect from here leads; `None` if that is no address.
pub(super) fn resolve(from: &Url, location: &str) -> Option<Url> {
    let location = location.split('#').next().unwrap_or_default();
    if location.starts_with("//") {
        let scheme = if from.https { "https:" } else { "http:" };
        return absolute(&format!("{scheme}{location}"));
    }
    if location.contains("://") {
        return absolute(location);
    }
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let before = from.path.split('?').next().unwrap_or("/");
        let folder = before.rsplit_once('/').map_or("", |(folder, _)| folder);
        if location.starts_with('?') { format!("{before}{location}") } else { format!("{folder}/{location}") }
    };
    // The same check that an absolute one goes through.
    path.parse::<Uri>().ok()?;
    Some(Url { path, ..from.clone() })
}

fn absolute(text: &str) -> Option<Url> {
    let uri: Uri = text.parse().ok()?;
    let https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?.as_str();
    let (host, port) = split_address(authority)?;
    Some(Url {
        https,
        host: host.to_owned(),
        port: port.unwrap_or(if https { 443 } else { 80 }),
        authority: authority.to_owned(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        absolute(text).unwrap()
    }

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        for (from, location, expected) in [
            ("http://h:80/metrics", "/other?x=1", Some("http://h:80/other?x=1")),
            ("http://h:80/a/b?q", "c", Some("http://h:80/a/c")),
            ("http://h/a/b?q", "?r=1", Some("http://h/a/b?r=1")),
            ("http://h/a", "https://i/b#c", Some("https://i/b")),
            ("https://h/a", "//i:8/b", Some("https://i:8/b")),
            ("http://h/a", "http://[fd00::1]:9/x", Some("http://[fd00::1]:9/x")),
            ("http://h/a", "ftp://i/b", None),
            ("http://h/a", "http:///b", None),
            ("http://h/a", "http://h:x/b", None),
            ("http://h/a", "/b c", None),
        ] {
            let resolved = resolve(&url(from), location).map(|url| url.to_string());
            assert_eq!(resolved.as_deref(), expected, "{from} {location}");
        }
    }

    #[test]
    fn addresses() {
        for (address, expected) in [
            ("h", Some(("h", None))),
            ("h:1", Some(("h", Some(1)))),
            ("10.0.0.1:65535", Some(("10.0.0.1", Some(65535)))),
            ("fd00::1", Some(("fd00::1", None))),
            ("[fd00::1]", Some(("fd00::1", None))),
            ("[fd00::1]:1", Some(("fd00::1", Some(1)))),
            ("h:", None),
            ("h:65536", None),
            (":1", None),
            ("[fd00::1", None),
            ("[fd00::1]1", None),
            ("u@h", None),
            ("h x", None),
            ("h\r\nx: y", None),
        ] {
            assert_eq!(split_address(address), expected, "{address}");
        }
    }
}
