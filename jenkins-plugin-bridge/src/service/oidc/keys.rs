//! Signatures of ID tokens, checked by ring: the one implementation of cryptography in this program.

use std::sync::OnceLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature as ring_signature;
use ring::signature::{RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use signature::Verifier;

/// Algorithms of ID tokens that are taken. Those with a shared secret are not: a client secret is no key.
pub const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

/// How a signature is checked.
enum Check {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn ring_signature::VerificationAlgorithm),
}

struct Checked {
    algorithm: Algorithm,
    check: Check,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Checked {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        let bad = |_| signature::Error::new();
        match (&self.check, self.key.kind()) {
            (Check::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signed).map_err(bad)
            }
            (Check::Curve(algorithm), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(*algorithm, point).verify(message, signed).map_err(bad)
            }
            _ => Err(signature::Error::new()),
        }
    }
}

impl JwtVerifier for Checked {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let (family, check) = match algorithm {
        Algorithm::RS256 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => curve(&ring_signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => curve(&ring_signature::ECDSA_P384_SHA384_FIXED),
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    if key.family() != family {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Checked { algorithm: *algorithm, check, key: key.clone() }))
}

fn rsa(parameters: &'static RsaParameters) -> (AlgorithmFamily, Check) {
    (AlgorithmFamily::Rsa, Check::Rsa(parameters))
}

fn curve(
    algorithm: &'static dyn ring_signature::VerificationAlgorithm,
) -> (AlgorithmFamily, Check) {
    (AlgorithmFamily::Ec, Check::Curve(algorithm))
}

/// Nothing is signed here.
fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

/// Has signatures checked by ring, from now on.
pub fn install() {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| CryptoProvider {
        signer_factory: signer,
        verifier_factory: verifier,
        // For keys from private ones and for thumbprints: neither is ever made here.
        key_utils: KeyUtils::new_unimplemented(),
    });
    // Installed already: it is this one.
    let _ = provider.install_default();
}
