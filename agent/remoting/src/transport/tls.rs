//! Whom to trust for `https` and `wss`, and the TLS client configuration made of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Which certificates are accepted.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The roots of the system, or those built in if the system has none.
    #[default]
    System,
    /// Only these certificates, each text holding one or more in PEM (`-cert`).
    Only(Vec<String>),
    /// Any certificate for any host (`-noCertificateCheck`).
    NoCheck,
}

/// TLS settings.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// Which certificates are accepted.
    pub trust: Trust,
    /// For [`Trust::System`]: take the roots from this PEM file (`SSL_CERT_FILE`).
    pub cert_file: Option<PathBuf>,
    /// For [`Trust::System`]: take the roots from the files in this directory (`SSL_CERT_DIR`).
    pub cert_dir: Option<PathBuf>,
}

/// Where the accepted certificates came from, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustReport {
    /// So many roots of the system.
    System {
        /// Number of certificates.
        certificates: usize,
    },
    /// So many roots from the file or directory that was named.
    Named {
        /// Number of certificates.
        certificates: usize,
    },
    /// The system had none; the Mozilla roots built into this program.
    BuiltIn {
        /// Number of certificates.
        certificates: usize,
    },
    /// Only the certificates given.
    Only {
        /// Number of certificates.
        certificates: usize,
    },
    /// Everything is accepted.
    NoCheck,
    /// Only the holder of the controller's instance identity.
    InstanceIdentity,
}

impl fmt::Display for TrustReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        match *self {
            Self::System { certificates } => {
                f.write_str(&noun(certificates, "system root certificate"))
            }
            Self::Named { certificates } => {
                write!(
                    f,
                    "{} from SSL_CERT_FILE or SSL_CERT_DIR",
                    noun(certificates, "certificate")
                )
            }
            Self::BuiltIn { certificates } => {
                let roots = noun(certificates, "built-in Mozilla root certificate");
                write!(f, "{roots} (the system has none)")
            }
            Self::Only { certificates } => {
                write!(f, "only the {} given with -cert", noun(certificates, "certificate"))
            }
            Self::NoCheck => f.write_str("any certificate: checks are switched off"),
            Self::InstanceIdentity => f.write_str("only the instance identity of the controller"),
        }
    }
}

/// TLS settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// A given certificate is not readable.
    #[error(
        "certificate {number} given with -cert cannot be used: {detail}; give a PEM file or its text"
    )]
    BadCertificate {
        /// Which of the texts, counted from 1.
        number: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// The named file or directory has no certificates.
    #[error(
        "no root certificates in {paths}: {detail}; correct or unset SSL_CERT_FILE and SSL_CERT_DIR"
    )]
    NoRoots {
        /// The paths looked into.
        paths: String,
        /// The first problem met.
        detail: String,
    },
    /// The TLS library refused the settings.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

/// TLS settings, read and prepared once and shared by all connections.
#[derive(Clone, Default)]
pub struct TlsContext {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    options: TlsOptions,
    prepared: OnceLock<Result<Prepared, TlsSetupError>>,
}

#[derive(Clone)]
struct Prepared {
    config: Arc<ClientConfig>,
    report: TrustReport,
}

impl TlsContext {
    /// A context that is prepared when it is first needed.
    #[must_use]
    pub fn new(options: TlsOptions) -> Self {
        Self { shared: Arc::new(Shared { options, prepared: OnceLock::new() }) }
    }

    /// Prepares now and tells which certificates are accepted.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub fn prepare(&self) -> Result<TrustReport, TlsSetupError> {
        self.prepared().map(|prepared| prepared.report.clone())
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsSetupError> {
        self.prepared().map(|prepared| Arc::clone(&prepared.config))
    }

    fn prepared(&self) -> Result<&Prepared, TlsSetupError> {
        self.shared
            .prepared
            .get_or_init(|| prepare(&self.shared.options))
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl From<TlsOptions> for TlsContext {
    fn from(options: TlsOptions) -> Self {
        Self::new(options)
    }
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.options.fmt(f)
    }
}

fn prepare(options: &TlsOptions) -> Result<Prepared, TlsSetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (verifier, report): (Arc<dyn ServerCertVerifier>, _) = match &options.trust {
        Trust::NoCheck => {
            (Arc::new(NoCheck { provider: Arc::clone(&provider) }), TrustReport::NoCheck)
        }
        Trust::Only(texts) => {
            let certificates = parse_given(texts)?;
            let report = TrustReport::Only { certificates: certificates.len() };
            (Arc::new(Verifier::with(certificates, &provider)?), report)
        }
        Trust::System if options.cert_file.is_some() || options.cert_dir.is_some() => {
            let certificates = read_named(options)?;
            let report = TrustReport::Named { certificates: certificates.len() };
            (Arc::new(Verifier::with(certificates, &provider)?), report)
        }
        Trust::System => {
            let (roots, report) = system_roots();
            (
                Arc::new(Verifier { chain: chain_verifier(roots, &provider)?, exact: Vec::new() }),
                report,
            )
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsSetupError::Library(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Prepared { config: Arc::new(config), report })
}

fn parse_given(texts: &[String]) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let mut all = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let bad = |detail: String| TlsSetupError::BadCertificate { number: index + 1, detail };
        let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| bad(error.to_string()))?;
        if found.is_empty() {
            return Err(bad("it has no `-----BEGIN CERTIFICATE-----` block".to_owned()));
        }
        for certificate in &found {
            RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|error| bad(error.to_string()))?;
        }
        all.extend(found);
    }
    if all.is_empty() {
        return Err(TlsSetupError::BadCertificate {
            number: 1,
            detail: "none was given".to_owned(),
        });
    }
    Ok(all)
}

fn read_named(options: &TlsOptions) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let read = rustls_native_certs::load_certs_from_paths(
        options.cert_file.as_deref(),
        options.cert_dir.as_deref(),
    );
    let (usable, _) = count_usable(&read.certs);
    if usable == 0 {
        let paths: Vec<String> = [&options.cert_file, &options.cert_dir]
            .into_iter()
            .flatten()
            .map(|path| path.display().to_string())
            .collect();
        let detail = read
            .errors
            .first()
            .map_or_else(|| "no PEM certificate found".to_owned(), ToString::to_string);
        return Err(TlsSetupError::NoRoots { paths: paths.join(" and "), detail });
    }
    Ok(read.certs)
}

fn count_usable(certificates: &[CertificateDer<'static>]) -> (usize, RootCertStore) {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    (usable, roots)
}

fn system_roots() -> (RootCertStore, TrustReport) {
    let read = rustls_native_certs::load_native_certs();
    for error in &read.errors {
        tracing::debug!(%error, "system root certificates");
    }
    let (usable, roots) = count_usable(&read.certs);
    if usable > 0 {
        return (roots, TrustReport::System { certificates: usable });
    }
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let certificates = roots.len();
    (roots, TrustReport::BuiltIn { certificates })
}

fn chain_verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsSetupError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| TlsSetupError::Library(error.to_string()))
}

/// Above this number a list is a store of authorities, not one that names servers.
const MAX_EXACT: usize = 64;

/// The usual chain and host name checks; in addition a server may present one of the named certificates itself.
///
/// That is how a self-signed certificate is used. The Java agent accepts it, but the chain check refuses it when
/// the certificate also says that it is an authority, as those made by `openssl req -x509` do.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    exact: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn with(
        mut certificates: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsSetupError> {
        let (_, roots) = count_usable(&certificates);
        if certificates.len() > MAX_EXACT {
            certificates.clear();
        }
        Ok(Self { chain: chain_verifier(roots, provider)?, exact: certificates })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.exact.iter().any(|exact| exact.as_ref() == end_entity.as_ref()) {
            let certificate = rustls::server::ParsedCertificate::try_from(end_entity)?;
            rustls::client::verify_server_name(&certificate, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// `-noCertificateCheck`: neither chain nor host name. The handshake signature is still checked, so that the
/// connection at least ends at the holder of the certificate shown.
#[derive(Debug)]
struct NoCheck {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoCheck {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
