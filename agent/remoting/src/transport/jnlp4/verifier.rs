//! TLS in which only the holder of one key is believed.
//!
//! The controller's certificate is self-signed with its instance identity and renewed every few days; agents
//! know nothing but that key. So no name, date or authority is looked at, and the handshake's signature is
//! checked with the key that was expected, not with the one that was shown
//! (`org.jenkinsci.remoting.protocol.cert.PublicKeyMatchingX509ExtendedTrustManager`).

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, PeerMisbehaved,
    SignatureScheme,
};

use super::identity::{IdentityError, InstanceIdentity};

/// What RSA keys sign with in TLS 1.3; TLS 1.2 has the others as well.
const TLS13: [SignatureScheme; 3] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];
const TLS12_ONLY: [SignatureScheme; 3] = [
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// The controller showed another key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it shows the identity {shown}, expected was {expected}")]
pub(super) struct WrongIdentity {
    pub(super) expected: String,
    /// Fingerprint, or why there is none.
    pub(super) shown: String,
}

impl WrongIdentity {
    /// Finds it in what the TLS layer reported.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
                other.downcast_ref::<Self>().cloned()
            }
            _ => None,
        }
    }
}

/// A client configuration that believes only this controller.
pub(super) fn config(identity: &InstanceIdentity) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier { identity: identity.clone(), provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.enable_sni = false;
    // A new configuration for each connection, as the key may have changed.
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct Verifier {
    identity: InstanceIdentity,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn verify(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
        allowed: &[SignatureScheme],
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !allowed.contains(&signed.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let algorithms = self.provider.signature_verification_algorithms.mapping;
        algorithms
            .iter()
            .filter(|(scheme, _)| *scheme == signed.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .any(|algorithm| {
                algorithm.verify_signature(self.identity.key(), message, signed.signature()).is_ok()
            })
            .then(HandshakeSignatureValid::assertion)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::BadSignature))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = match InstanceIdentity::of_certificate(end_entity) {
            Ok(shown) if shown.key() == self.identity.key() => {
                return Ok(ServerCertVerified::assertion());
            }
            Ok(shown) => shown.fingerprint(),
            Err(IdentityError::NotACertificate) => "of an unreadable certificate".to_owned(),
            Err(_) => "of a key that is not RSA".to_owned(),
        };
        let wrong = WrongIdentity { expected: self.identity.fingerprint(), shown };
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        _cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, dss, &self.supported_verify_schemes())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, dss, &TLS13)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        TLS13.into_iter().chain(TLS12_ONLY).collect()
    }
}
