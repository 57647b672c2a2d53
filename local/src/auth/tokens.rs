//! Bearer tokens of service accounts: JSON Web Tokens signed with a key that only this cluster has.
//!
//! `HS256` suffices, since the only one who verifies is the one who signs; other programs ask through TokenReview.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyball_apiserver::authentication::TokenVerifier;
use flyball_apiserver::user::User;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::registry::{Registry, clock, json, kinds};

/// Issuer of our tokens, and their audience when the request names none.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Bytes of the signing key.
pub const KEY_BYTES: usize = 32;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const BLOCK_BYTES: usize = 64;

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    sub: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Bound,
}

#[derive(Serialize, Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Account,
}

#[derive(Serialize, Deserialize)]
struct Account {
    name: String,
    uid: String,
}

/// Whose token it was.
pub struct Verified {
    /// `system:serviceaccount:<namespace>:<name>`.
    pub user: User,
    /// Those of the asked-for audiences that the token is for.
    pub audiences: Vec<String>,
}

/// Issues and verifies tokens.
#[derive(Clone)]
pub struct Tokens {
    key: [u8; KEY_BYTES],
    registry: Registry,
}

impl Tokens {
    /// Tokens signed with this key, for accounts of this registry.
    pub fn new(key: [u8; KEY_BYTES], registry: Registry) -> Self {
        Self { key, registry }
    }

    /// A token for a service account, valid until `expires_ms` (unix milliseconds).
    pub fn issue(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        audiences: &[String],
        expires_ms: i64,
    ) -> String {
        let audiences = if audiences.is_empty() { vec![ISSUER.to_owned()] } else { audiences.to_vec() };
        let claims = Claims {
            aud: audiences,
            exp: expires_ms / 1000,
            iat: clock::now_ms() / 1000,
            iss: ISSUER.to_owned(),
            jti: clock::uuid(),
            sub: format!("system:serviceaccount:{namespace}:{name}"),
            kubernetes: Bound {
                namespace: namespace.to_owned(),
                serviceaccount: Account { name: name.to_owned(), uid: uid.to_owned() },
            },
        };
        let claims = serde_json::to_string(&claims).unwrap_or_default();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(&self.key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// Whose token this is; the reason as text when it is not valid (any more). Empty `audiences` means the API server's
    /// own.
    pub fn verify(&self, token: &str, audiences: &[String], now_ms: i64) -> Result<Verified, String> {
        let (signed, signature) = token.rsplit_once('.').ok_or("invalid bearer token")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "invalid bearer token")?;
        if !equal(&signature, &hmac_sha256(&self.key, signed.as_bytes())) {
            return Err("invalid bearer token".to_owned());
        }
        let claims = signed.split_once('.').and_then(|(_, claims)| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Claims =
            claims.and_then(|claims| serde_json::from_slice(&claims).ok()).ok_or("invalid bearer token")?;
        if claims.exp * 1000 <= now_ms {
            return Err("service account token has expired".to_owned());
        }
        let own = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() { &own[..] } else { audiences };
        let matching: Vec<String> =
            wanted.iter().filter(|audience| claims.aud.contains(audience)).cloned().collect();
        if matching.is_empty() {
            return Err(format!(
                "token audiences {:?} is invalid for the target audiences {wanted:?}",
                claims.aud
            ));
        }
        self.user(claims).map(|user| Verified { user, audiences: matching })
    }

    /// A token dies with its account: a new account of the same name has another uid.
    fn user(&self, claims: Claims) -> Result<User, String> {
        let Bound { namespace, serviceaccount: account } = claims.kubernetes;
        let living = self.registry.get(&kinds::SERVICEACCOUNTS, &namespace, &account.name);
        if living.as_deref().map(json::uid) != Some(&account.uid) {
            return Err(format!("service account {namespace}/{} has been deleted", account.name));
        }
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let mut user = User::new(claims.sub, groups);
        user.uid = Some(account.uid);
        user.extra.insert(
            "authentication.kubernetes.io/credential-id".to_owned(),
            vec![format!("JTI={}", claims.jti)],
        );
        Ok(user)
    }
}

impl TokenVerifier for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        let verified = Tokens::verify(self, token, &[], clock::now_ms());
        Box::pin(std::future::ready(verified.map(|verified| Some(verified.user))))
    }
}

/// RFC 2104 over SHA-256; the key is shorter than a block.
fn hmac_sha256(key: &[u8; KEY_BYTES], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK_BYTES];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Takes the same time wherever the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hmac_matches_a_known_value() {
        // `printf 'Hi There' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b…0b` (32 bytes of 0x0b).
        let mac = hmac_sha256(&[0x0b; KEY_BYTES], b"Hi There");
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7");
    }

    #[test]
    fn a_token_is_good_for_its_audience_its_time_and_its_account() {
        let registry = Registry::in_memory();
        let tokens = Tokens::new([7; KEY_BYTES], registry.clone());
        let account = registry.get(&kinds::SERVICEACCOUNTS, "default", "default").unwrap();
        let token = tokens.issue("default", "default", json::uid(&account), &[], 10_000);
        let verified = tokens.verify(&token, &[], 9_999).unwrap();
        assert_eq!(verified.user.name, "system:serviceaccount:default:default");
        assert!(tokens.verify(&token, &[], 10_000).is_err());
        assert!(tokens.verify(&token, &["other".to_owned()], 0).is_err());
        assert!(tokens.verify(&format!("{token}x"), &[], 0).is_err());
        assert!(Tokens::new([8; KEY_BYTES], registry.clone()).verify(&token, &[], 0).is_err());
        registry.delete(&kinds::SERVICEACCOUNTS, "default", "default", Default::default()).unwrap();
        registry
            .create(&kinds::SERVICEACCOUNTS, "default", json!({"metadata": {"name": "default"}}))
            .unwrap();
        assert!(tokens.verify(&token, &[], 0).is_err());
    }
}
