//! What an ID token has to be (OpenID Connect Core 1.0, 3.1.3.7).

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys;
use super::provider::OidcError;

/// Clocks may differ by so many seconds.
const LEEWAY_SECONDS: u64 = 60;
/// The most bytes of an ID token.
const TOKEN_BYTES: usize = 64 << 10;

/// What an ID token says.
#[derive(Debug, Clone, Deserialize)]
pub struct Claims {
    /// Who, for the provider.
    pub sub: String,
    /// What was sent with the login.
    #[serde(default)]
    pub nonce: String,
    /// For whom it was made, where it is for several.
    #[serde(default)]
    pub azp: Option<String>,
    /// For whom it is: a text or a list of them.
    pub aud: Value,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What is expected of an ID token.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    /// The provider.
    pub issuer: &'e str,
    /// This client.
    pub client_id: &'e str,
    /// What was sent with the login.
    pub nonce: &'e str,
}

/// The id of the key that a token names.
///
/// # Errors
/// Where that is no token, or of an algorithm that is not taken.
pub fn key_id(token: &str) -> Result<Option<String>, OidcError> {
    if token.len() > TOKEN_BYTES {
        return Err(OidcError::Token(format!("it has more than {TOKEN_BYTES} bytes")));
    }
    let header = decode_header(token).map_err(|error| OidcError::Token(error.to_string()))?;
    if !keys::ALGORITHMS.contains(&header.alg) {
        return Err(OidcError::Token(format!(
            "it is signed by {:?}; taken are RS256 to RS512, PS256 to PS512, ES256 and ES384",
            header.alg
        )));
    }
    Ok(header.kid)
}

/// The key of a set that a token names; the only one for signatures where it names none.
#[must_use]
pub fn find<'k>(set: &'k JwkSet, id: Option<&str>) -> Option<&'k Jwk> {
    let signs = |key: &&Jwk| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    match id {
        Some(id) => {
            set.keys.iter().filter(signs).find(|key| key.common.key_id.as_deref() == Some(id))
        }
        None => {
            let mut all = set.keys.iter().filter(signs);
            all.next().filter(|_| all.next().is_none())
        }
    }
}

/// Checks a token: signature, provider, audience, time and nonce.
///
/// # Errors
/// What is wrong with it.
pub fn check(token: &str, key: &Jwk, expected: &Expected<'_>) -> Result<Claims, OidcError> {
    let wrong = |error: jsonwebtoken::errors::Error| OidcError::Token(error.to_string());
    let header = decode_header(token).map_err(wrong)?;
    let mut rules = Validation::new(header.alg);
    rules.set_issuer(&[expected.issuer]);
    rules.set_audience(&[expected.client_id]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.leeway = LEEWAY_SECONDS;
    rules.validate_nbf = true;
    let key = DecodingKey::from_jwk(key).map_err(wrong)?;
    let claims: Claims = decode(token, &key, &rules).map_err(wrong)?.claims;
    if claims.nonce != expected.nonce {
        return Err(OidcError::Token("its nonce is that of another login".to_owned()));
    }
    let many = claims.aud.as_array().is_some_and(|all| all.len() > 1);
    let for_us = claims.azp.as_deref().map_or(!many, |azp| azp == expected.client_id);
    if !for_us {
        return Err(OidcError::Token("it was made for another client".to_owned()));
    }
    Ok(claims)
}
