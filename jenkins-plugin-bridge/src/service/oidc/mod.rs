//! Login at an identity provider: OpenID Connect, authorization code flow with PKCE. The provider is
//! found by discovery; its keys are kept and asked for again when an ID token names another one.

mod keys;
mod provider;
mod token;

pub use provider::{OidcError, Person, Provider};

#[cfg(test)]
pub use provider::OidcFile;
