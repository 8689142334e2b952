//! Trust for connections to controllers: the authorities of the system, or Mozilla's where it has none,
//! and those of a CA file.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::RestError;

/// A TLS client that trusts the system's authorities and those in the files.
///
/// # Errors
/// [`RestError::Setup`] for a file that cannot be read or has no certificate.
pub fn client_config(ca_files: &[PathBuf]) -> Result<ClientConfig, RestError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // A damaged certificate in the system's store must not keep the others from being used.
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        // As in an image that holds nothing but this program.
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for file in ca_files {
        let setup = |reason: String| RestError::Setup {
            what: format!("CA file {}", file.display()),
            reason,
        };
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| setup(format!("{error}; give a PEM file that can be read")))?;
        if certificates.is_empty() {
            return Err(setup("it has no certificate; give a PEM file".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| setup(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RestError::Setup { what: "TLS".to_owned(), reason: error.to_string() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
