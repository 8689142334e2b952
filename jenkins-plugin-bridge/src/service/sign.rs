//! Signed plans and evaluations: Ed25519 over a DSSE envelope, so that a shim refuses what is
//! altered, old or for another build, also when it comes from a cache.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{self, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ring::{hkdf, hmac};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A plan in an envelope.
pub const PLAN_TYPE: &str = "application/vnd.pilotfish.signed-plan.v1+json";
/// An evaluation in an envelope. The type is signed too: the one never passes for the other.
pub const EVALUATION_TYPE: &str = "application/vnd.pilotfish.signed-evaluation.v1+json";
/// The bytes before an Ed25519 key in its X.509 form (RFC 8410), which Java reads.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// A signed payload (DSSE, <https://github.com/secure-systems-lab/dsse>). The signature is over
/// `DSSEv1`, the length and text of the type, the length and bytes of the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// Type of the payload.
    pub payload_type: String,
    /// The payload, base64.
    pub payload: String,
    /// Its signatures.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Id of the key.
    pub keyid: String,
    /// The signature, base64.
    pub sig: String,
}

/// A public key, for those who verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicKey {
    /// Id of the key: the first 16 digits of the SHA-256 of its 32 bytes.
    pub keyid: String,
    /// The key in its X.509 form, base64; `X509EncodedKeySpec` of Java reads it.
    pub spki: String,
    /// Whether plans are signed by it now. The others are there while plans signed by them live.
    pub signs: bool,
}

struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
    token_key: hmac::Key,
}

/// The signing keys. The first one signs.
pub struct KeyRing(Vec<SigningKey>);

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl SigningKey {
    fn new(pkcs8: &[u8]) -> Result<Self, String> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
            .map_err(|error| format!("this is no Ed25519 key in PKCS #8: {error}"))?;
        let digest = Sha256::digest(pair.public_key().as_ref());
        let id = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"pilotfish build tokens v1");
        let mut bytes = Zeroizing::new([0; 32]);
        salt.extract(pkcs8)
            .expand(&[b"hmac"], Length)
            .and_then(|okm| okm.fill(&mut *bytes))
            .map_err(|_| "the key of build tokens cannot be derived".to_owned())?;
        let token_key = hmac::Key::new(hmac::HMAC_SHA256, &*bytes);
        Ok(Self { pair, id, token_key })
    }
}

impl KeyRing {
    /// Reads keys from PEM files (PKCS #8, as `openssl genpkey -algorithm ed25519` makes them).
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn read<P: AsRef<Path>>(files: &[P]) -> Result<Self, String> {
        let mut keys = Vec::new();
        for file in files {
            let file = file.as_ref();
            let failed = |reason: String| format!("signing key {}: {reason}", file.display());
            let der = PrivatePkcs8KeyDer::from_pem_file(file)
                .map_err(|error| failed(error.to_string()))?;
            keys.push(SigningKey::new(der.secret_pkcs8_der()).map_err(failed)?);
        }
        if keys.is_empty() {
            return Err("a signing key is needed".to_owned());
        }
        Ok(Self(keys))
    }

    /// Makes a key, as PEM.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn make() -> Result<Zeroizing<String>, String> {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| "no randomness".to_owned())?;
        let text = Zeroizing::new(STANDARD.encode(der.as_ref()));
        let mut pem = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// Keys for tokens of builds, derived from these.
    #[must_use]
    pub fn token_keys(&self) -> Vec<hmac::Key> {
        self.0.iter().map(|key| key.token_key.clone()).collect()
    }

    /// The public keys.
    #[must_use]
    pub fn public(&self) -> Vec<PublicKey> {
        self.0
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let mut spki = SPKI_PREFIX.to_vec();
                spki.extend_from_slice(key.pair.public_key().as_ref());
                PublicKey { keyid: key.id.clone(), spki: STANDARD.encode(spki), signs: at == 0 }
            })
            .collect()
    }

    /// Signs a payload of a type.
    #[must_use]
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        let signatures = self
            .0
            .first()
            .map(|key| Signature {
                keyid: key.id.clone(),
                sig: STANDARD.encode(key.pair.sign(&encoding(payload_type, payload))),
            })
            .into_iter()
            .collect();
        let payload_type = payload_type.to_owned();
        Envelope { payload_type, payload: STANDARD.encode(payload), signatures }
    }
}

/// What is signed: `PAE(type, payload)` of DSSE.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut text =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    text.extend_from_slice(payload);
    text
}

impl Envelope {
    /// The payload, if it is of this type and one of the keys signed it.
    ///
    /// # Errors
    /// Why not.
    pub fn open(&self, payload_type: &str, keys: &[PublicKey]) -> Result<Vec<u8>, String> {
        if self.payload_type != payload_type {
            return Err(format!("expected {payload_type}, got {}", self.payload_type));
        }
        let payload = STANDARD.decode(&self.payload).map_err(|error| error.to_string())?;
        let signed = encoding(&self.payload_type, &payload);
        let good = self.signatures.iter().any(|signature| {
            let Some(key) = keys.iter().find(|key| key.keyid == signature.keyid) else {
                return false;
            };
            let (Ok(spki), Ok(sig)) = (STANDARD.decode(&key.spki), STANDARD.decode(&signature.sig))
            else {
                return false;
            };
            spki.strip_prefix(&SPKI_PREFIX).is_some_and(|key| {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(&signed, &sig).is_ok()
            })
        });
        if good { Ok(payload) } else { Err("no known key signed this".to_owned()) }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn ring() -> KeyRing {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.pem");
        std::fs::write(&file, KeyRing::make().unwrap().as_bytes()).unwrap();
        KeyRing::read(&[file]).unwrap()
    }

    #[test]
    fn what_is_signed_opens_and_what_is_altered_does_not() {
        let keys = ring();
        let envelope = keys.sign(PLAN_TYPE, b"{}");
        assert_eq!(envelope.open(PLAN_TYPE, &keys.public()).unwrap(), b"{}");
        assert!(envelope.open(PLAN_TYPE, &ring().public()).is_err());
        assert!(envelope.open(PLAN_TYPE, &[]).is_err());
        let mut altered = envelope.clone();
        altered.payload = STANDARD.encode(b"[]");
        assert!(altered.open(PLAN_TYPE, &keys.public()).is_err());
        let mut other = envelope.clone();
        other.payload_type = EVALUATION_TYPE.to_owned();
        assert!(other.open(PLAN_TYPE, &keys.public()).is_err());
        assert!(other.open(EVALUATION_TYPE, &keys.public()).is_err(), "the type is signed");
        let mut none = envelope;
        none.signatures.clear();
        assert!(none.open(PLAN_TYPE, &keys.public()).is_err());
    }

    #[test]
    fn the_encoding_is_that_of_dsse() {
        // The example of the specification.
        assert_eq!(
            encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn keys_derive_the_same_tokens_everywhere() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.pem");
        std::fs::write(&file, KeyRing::make().unwrap().as_bytes()).unwrap();
        let tag = |ring: KeyRing| hmac::sign(&ring.token_keys()[0], b"x").as_ref().to_vec();
        let read = || KeyRing::read(&[&file]).unwrap();
        assert_eq!(tag(read()), tag(read()));
        assert!(KeyRing::read::<&Path>(&[]).is_err());
        std::fs::write(&file, "no key").unwrap();
        assert!(KeyRing::read(&[&file]).is_err());
    }
}
