//! The instance identity of a controller: the RSA key that it must prove to hold.

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::der::{BIT_STRING, Der, SEQUENCE, public_key_of};

/// The object identifier 1.2.840.113549.1.1.1 (`rsaEncryption`) with its tag and length.
const RSA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// The longest key accepted, in bytes of its DER form; one of 16,384 bits has about 2 KiB.
const MAX_BYTES: usize = 8 << 10;

/// A controller's public key, as it stands in `X-Instance-Identity`, in `-instanceIdentity` and in the
/// certificate of the agent port.
#[derive(Clone, PartialEq, Eq)]
pub struct InstanceIdentity {
    /// DER of the whole `SubjectPublicKeyInfo`.
    der: Vec<u8>,
    /// How many bytes at the end of `der` are the `RSAPublicKey`.
    key_length: usize,
}

/// A text or byte string that is no instance identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not base64.
    #[error("it is not base64")]
    NotBase64,
    /// Not a certificate.
    #[error("it is no certificate")]
    NotACertificate,
    /// Not the DER form of an RSA public key.
    #[error("it is no RSA public key")]
    NotAKey,
}

impl InstanceIdentity {
    /// Reads the text form: base64 of DER.
    ///
    /// # Errors
    /// Anything that is not the base64 text of one RSA public key.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let text = text.trim();
        if text.len() > MAX_BYTES * 4 / 3 + 4 {
            return Err(IdentityError::NotAKey);
        }
        Self::from_der(&STANDARD.decode(text).map_err(|_| IdentityError::NotBase64)?)
    }

    /// Reads the DER form of an X.509 `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// Anything but exactly one RSA public key.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let key = rsa_key(der).ok_or(IdentityError::NotAKey)?;
        Ok(Self { der: der.to_vec(), key_length: key.len() })
    }

    /// The key that a certificate (X.509, DER) shows. Nothing about the certificate is verified.
    ///
    /// # Errors
    /// Anything that is not shaped like a certificate, or has another kind of key.
    pub fn of_certificate(certificate: &[u8]) -> Result<Self, IdentityError> {
        Self::from_der(public_key_of(certificate).ok_or(IdentityError::NotACertificate)?)
    }

    /// The MD5 of the DER form in pairs of digits (`org.jenkinsci.remoting.util.KeyUtils.fingerprint`), by which
    /// people compare what the agent logs with what the controller shows.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::with_capacity(47);
        for byte in Md5::digest(&self.der) {
            let separator = if text.is_empty() { "" } else { ":" };
            let _ = write!(text, "{separator}{byte:02x}");
        }
        text
    }

    /// DER of the `RSAPublicKey`.
    pub(super) fn key(&self) -> &[u8] {
        &self.der[self.der.len() - self.key_length..]
    }
}

/// The `RSAPublicKey` at the end of a `SubjectPublicKeyInfo`.
fn rsa_key(der: &[u8]) -> Option<&[u8]> {
    let mut outer = Der::new(der);
    let mut info = Der::new(outer.next(SEQUENCE)?);
    let algorithm = info.next(SEQUENCE)?;
    let bits = info.next(BIT_STRING)?;
    // The first byte counts the unused bits of the last one.
    let (&0, key) = bits.split_first()? else { return None };
    let complete = der.len() <= MAX_BYTES && outer.is_empty() && info.is_empty();
    (complete && algorithm.starts_with(&RSA) && key.first() == Some(&SEQUENCE)).then_some(key)
}

impl fmt::Debug for InstanceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceIdentity({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a key that anything could be proved with, but of the right form.
    const TEXT: &str = "MBowDQYJKoZIhvcNAQEBBQADCQAwBgIBBwIBAw==";

    #[test]
    fn text_and_fingerprint() {
        let identity = InstanceIdentity::parse(&format!(" {TEXT}\n")).unwrap();
        assert_eq!(identity.key(), [0x30, 6, 2, 1, 7, 2, 1, 3]);
        assert_eq!(identity.fingerprint(), "8a:37:fe:5b:f0:e0:a6:1e:1e:80:8a:6d:55:f2:a0:d4");
        assert_eq!(
            format!("{identity:?}"),
            format!("InstanceIdentity({})", identity.fingerprint())
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "AAAA", "MAA=", &TEXT[..TEXT.len() - 8], &"A".repeat(1 << 20)] {
            assert_eq!(InstanceIdentity::parse(text), Err(IdentityError::NotAKey), "{text}");
        }
        assert_eq!(InstanceIdentity::parse("*"), Err(IdentityError::NotBase64));
        let der = STANDARD.decode(TEXT).unwrap();
        for length in 0..der.len() {
            assert!(InstanceIdentity::from_der(&der[..length]).is_err());
        }
        assert!(InstanceIdentity::from_der(&[der.as_slice(), &[0]].concat()).is_err());
        let elliptic = rcgen::KeyPair::generate().unwrap();
        let elliptic = rcgen::PublicKeyData::subject_public_key_info(&elliptic);
        assert!(InstanceIdentity::from_der(&elliptic).is_err());
    }
}
