//! A bearer token. One in a file is read again now and then: Kubernetes renews the tokens of pods in place.
#![allow(clippy::disallowed_methods, reason = "an edge: reads the token's file")]

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a token that was read is used before the file is read again.
const REREAD_AFTER: Duration = Duration::from_secs(30);
/// Longest token.
const LIMIT_BYTES: usize = 64 << 10;

/// Where a bearer token comes from.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Token {
    /// None is shown.
    #[default]
    None,
    /// This one.
    Fixed(String),
    /// The one in this file at the time.
    File(PathBuf),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::None => f.write_str("None"),
            Token::Fixed(_) => f.write_str("Fixed"),
            Token::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A token as it is now.
#[derive(Debug)]
pub(crate) struct LiveToken {
    token: Token,
    read: Mutex<Option<(Instant, String)>>,
}

impl LiveToken {
    pub(crate) fn new(token: Token) -> LiveToken {
        LiveToken { token, read: Mutex::default() }
    }

    /// The token; a file that cannot be read any more leaves the last one in use.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub(crate) fn now(&self) -> Result<Option<String>, String> {
        let path = match &self.token {
            Token::None => return Ok(None),
            Token::Fixed(token) => return Ok(Some(token.clone())),
            Token::File(path) => path,
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, token)) = read.as_ref()
            && at.elapsed() < REREAD_AFTER
        {
            return Ok(Some(token.clone()));
        }
        match read_token(path) {
            Ok(token) => {
                *read = Some((Instant::now(), token.clone()));
                Ok(Some(token))
            }
            Err(reason) => match read.as_mut() {
                Some((at, token)) => {
                    tracing::warn!("{reason}; the token that was read before stays in use");
                    *at = Instant::now();
                    Ok(Some(token.clone()))
                }
                None => Err(reason),
            },
        }
    }
}

fn read_token(path: &std::path::Path) -> Result<String, String> {
    let refuse = |reason: String| format!("token file {}: {reason}", path.display());
    let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() > LIMIT_BYTES {
        return Err(refuse(format!("longer than {LIMIT_BYTES} bytes")));
    }
    let token = String::from_utf8(bytes).map_err(|_| refuse("not text".into()))?.trim().to_owned();
    if token.is_empty() { Err(refuse("empty".into())) } else { Ok(token) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_renewed_token_is_taken_and_a_lost_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let live = LiveToken::new(Token::File(path.clone()));
        assert!(live.now().unwrap_err().contains("token"));
        std::fs::write(&path, " \n").unwrap();
        assert!(live.now().unwrap_err().ends_with("empty"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(live.now().unwrap().as_deref(), Some("one"));
        std::fs::write(&path, "two").unwrap();
        assert_eq!(live.now().unwrap().as_deref(), Some("one"));
        tokio::time::advance(REREAD_AFTER).await;
        assert_eq!(live.now().unwrap().as_deref(), Some("two"));
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(REREAD_AFTER).await;
        assert_eq!(live.now().unwrap().as_deref(), Some("two"));
    }

    #[test]
    fn no_token_is_printed() {
        assert!(!format!("{:?}", Token::Fixed("secret".into())).contains("secret"));
    }
}
