//! Tokens that browsers bring: a WebSocket request can set no headers but its protocols, so one of them holds the token.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

/// What the protocol with the token begins with; the rest is the token in base64url.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of a WebSocket request; `None` if it brings none.
///
/// # Errors
/// More than one token, one that is no text, or no protocol beside it that could be answered with.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<String>, String> {
    if !names(headers, &header::CONNECTION, "upgrade") || !names(headers, &header::UPGRADE, "websocket") {
        return Ok(None);
    }
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        items(headers, &header::SEC_WEBSOCKET_PROTOCOL).partition(|protocol| protocol.starts_with(PREFIX));
    let encoded = match tokens.as_slice() {
        [] => return Ok(None),
        [one] => &one[PREFIX.len()..],
        _ => return Err("multiple bearer tokens among the WebSocket protocols".to_owned()),
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded);
    let bytes = bytes.map_err(|error| format!("bearer token among the WebSocket protocols: {error}"))?;
    let token = String::from_utf8(bytes)
        .map_err(|_| "bearer token among the WebSocket protocols: it is no text".to_owned())?;
    if token.is_empty() {
        return Ok(None);
    }
    if others.is_empty() {
        return Err("no WebSocket protocol beside the one with the bearer token".to_owned());
    }
    Ok(Some(token))
}

/// Takes the token out of the protocols, so that nobody it is handed on to sees it.
pub(super) fn remove_token(headers: &mut HeaderMap) {
    let all = items(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    let (tokens, others): (Vec<&str>, Vec<&str>) = all.partition(|protocol| protocol.starts_with(PREFIX));
    if tokens.is_empty() {
        return;
    }
    match HeaderValue::from_str(&others.join(", ")) {
        Ok(others) if !others.is_empty() => {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
        }
        _ => {
            headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        }
    }
}

fn items<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn names(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(upgrade: &str, protocols: &str) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, "keep-alive, Upgrade".parse().unwrap());
        headers.insert(header::UPGRADE, upgrade.parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols.parse().unwrap());
        token(&headers)
    }

    #[test]
    fn the_token_is_not_handed_on() {
        for (before, after) in [("a, b", Some("a, b")), ("a,TOKEN , b", Some("a, b")), ("TOKEN", None)] {
            let before = before.replace("TOKEN", &format!("{PREFIX}Z29vZA"));
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, before.parse().unwrap());
            remove_token(&mut headers);
            let left = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().unwrap());
            assert_eq!(left, after, "{before}");
        }
    }

    #[test]
    fn the_token_is_one_of_the_protocols() {
        let good = format!("{PREFIX}Z29vZA");
        let some = Ok(Some("good".to_owned()));
        assert_eq!(of("websocket", &format!("{good}, v4.channel.k8s.io")), some);
        assert_eq!(of("WebSocket", &format!("v4.channel.k8s.io,{good}")), some);
        assert_eq!(of("websocket", "v4.channel.k8s.io"), Ok(None));
        assert_eq!(of("h2c", &format!("{good}, x")), Ok(None));
        assert!(of("websocket", &good).is_err(), "nothing beside it");
        assert!(of("websocket", &format!("{good}, {good}, x")).is_err(), "two");
        assert!(of("websocket", &format!("{PREFIX}Z29v!, x")).is_err(), "no base64");
        assert!(of("websocket", &format!("{PREFIX}_w, x")).is_err(), "no text");
    }
}
