//! Who sent a webhook: signatures and tokens.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;
use zeroize::Zeroizing;

use super::{Headers, HookError};
use crate::forges::{Forge, ForgeKind};

/// What a signing token of GitLab begins with; the rest is its key in base64 (Standard Webhooks).
const SIGNING: &str = "whsec_";
/// Seconds by which the time of a signature may differ from ours, as Standard Webhooks has it.
const AGE: u64 = 300;
/// With or without the signs at the end that fill it up.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Checks who sent a webhook; `now` is in seconds since 1970.
///
/// # Errors
/// [`HookError::Signature`].
pub fn check(forge: &Forge, headers: &dyn Headers, body: &[u8], now: u64) -> Result<(), HookError> {
    let header = |name: &str| headers.header(name).unwrap_or_default();
    let (is_theirs, why) = match forge.spec.kind {
        ForgeKind::Github => {
            let signature = header("x-hub-signature-256");
            let signature = signature.strip_prefix("sha256=").unwrap_or_default();
            (is_signed(forge, body, signature), "X-Hub-Signature-256 is not that of the secret")
        }
        ForgeKind::Gitea => (
            is_signed(forge, body, header("x-gitea-signature")),
            "X-Gitea-Signature is not that of the secret",
        ),
        // One that is signed must be signed well, whatever its token is.
        ForgeKind::Gitlab
            if !header("webhook-signature").is_empty()
                && forge.secrets.iter().any(|secret| secret.starts_with(SIGNING)) =>
        {
            return signed_as_standard(forge, headers, body, now);
        }
        ForgeKind::Gitlab => {
            (is_secret(forge, header("x-gitlab-token")), "X-Gitlab-Token is not the secret")
        }
        ForgeKind::Git => (false, "a plain git server sends no webhooks"),
    };
    if is_theirs { Ok(()) } else { Err(HookError::Signature(why)) }
}

/// The key of a signing token; nothing where the text is none.
///
/// # Errors
/// Why it cannot be one.
pub fn signing_key(secret: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let Some(encoded) = secret.strip_prefix(SIGNING) else { return Ok(None) };
    let key = BASE64.decode(encoded).map(Zeroizing::new);
    key.map(Some).map_err(|error| format!("expected base64 after {SIGNING}: {error}"))
}

/// The headers of Standard Webhooks, as GitLab sends them: the id, the time and the body are signed.
fn signed_as_standard(
    forge: &Forge,
    headers: &dyn Headers,
    body: &[u8],
    now: u64,
) -> Result<(), HookError> {
    let header = |name: &str| headers.header(name).unwrap_or_default();
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    let mut signed = format!("{id}.{time}.").into_bytes();
    signed.extend_from_slice(body);
    let entries = header("webhook-signature").split(' ');
    let given: Vec<Vec<u8>> =
        entries.filter_map(|entry| BASE64.decode(entry.strip_prefix("v1,")?).ok()).collect();
    let is_theirs = forge.secrets.iter().any(|secret| {
        let Ok(Some(key)) = signing_key(secret) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        given.iter().any(|one| hmac::verify(&key, &signed, one).is_ok())
    });
    // What travels as the id of the delivery is believed only where it is signed.
    let other = headers.header("idempotency-key").is_some_and(|key| key != id);
    if !is_theirs || other {
        return Err(HookError::Signature("webhook-signature is not that of the signing token"));
    }
    match time.parse::<u64>() {
        Ok(time) if time.abs_diff(now) <= AGE => Ok(()),
        _ => Err(HookError::Signature(
            "webhook-timestamp is more than five minutes off: set the clocks right",
        )),
    }
}

/// Whether a signature in hexadecimal digits is the one of a body, for one of the secrets. It takes the same
/// time for any wrong signature of the right length.
fn is_signed(forge: &Forge, body: &[u8], signature: &str) -> bool {
    let Some(signature) = unhex(signature) else { return false };
    forge.secrets.iter().any(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, body, &signature).is_ok()
    })
}

/// Whether a token is one of the secrets. Digests are compared by keyed hashes, so that the time says
/// nothing of either.
fn is_secret(forge: &Forge, token: &str) -> bool {
    forge.secrets.iter().any(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let of_secret = hmac::sign(&key, secret.as_bytes());
        hmac::verify(&key, token.as_bytes(), of_secret.as_ref()).is_ok()
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |one: u8| char::from(one).to_digit(16);
    let mut bytes = [0_u8; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}
