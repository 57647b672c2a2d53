//! Where the next piece of a list begins: the `continue` token. Pure.
//!
//! The token is base64url of the JSON `{"rv": number, "after": [namespace, name]}`. It names the last object of the piece
//! before, so any replica can go on with it, at any time; the version matters to whoever watches after the last piece.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::page::Key;

/// Longest token that is looked at: namespace and name are at most 63 and 253 characters.
const TOKEN_LIMIT_BYTES: usize = 1024;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Continuation {
    /// The state of the first piece.
    #[serde(rename = "rv")]
    pub(crate) version: u64,
    /// The last object of the piece before.
    pub(crate) after: Key,
}

impl Continuation {
    /// The token.
    pub(crate) fn write(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// What a token of ours says; `None` for any other text.
    pub(crate) fn read(token: &str) -> Option<Continuation> {
        let token = Some(token).filter(|token| token.len() <= TOKEN_LIMIT_BYTES)?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        let here = Continuation { version: u64::MAX, after: ("kube-system".to_owned(), "a.b-c".to_owned()) };
        assert_eq!(Continuation::read(&here.write()), Some(here.clone()));
        let (kubernetes, long) =
            (BASE64_URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1"}"#), "A".repeat(2000));
        for other in ["", "garbage", "!", &here.write()[1..], &kubernetes, &long] {
            assert_eq!(Continuation::read(other), None, "{other}");
        }
    }
}
