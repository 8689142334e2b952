//! A fleet of simulated masters: processes with the HTTP behaviour of a live Jenkins controller, made from
//! the exchanges in `integration/recordings/rest`, with faults that can be switched on, and a ledger of
//! every stage that a build ran.

pub mod bridge;
pub mod campaign;
pub mod error;
pub mod ledger;
pub mod master;
pub mod pods;
pub mod postgres;
pub mod processes;
pub mod random;
pub mod shapes;

pub use error::FleetError;

/// A client for plain HTTP on this machine.
///
/// # Errors
/// When the system has no certificates to trust, which reqwest insists on.
pub fn http_client() -> Result<reqwest::Client, FleetError> {
    let tls = pilotfish_bridge::rest::tls_client_config(&[])
        .map_err(|error| FleetError::Other(error.to_string()))?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()
        .map_err(|error| FleetError::Other(format!("no HTTP client: {error}")))
}
