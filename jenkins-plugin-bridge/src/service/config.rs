//! Files that the service is set up by: access tokens, and the controllers that it may read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::auth::{AccessToken, AccessTokens};
use crate::declared::text_of;
use crate::error::BridgeError;
use crate::rest::{Client, ConnectArgs};

/// A controller that the service may read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerConfig {
    /// Address, with its context path.
    pub url: String,
    /// User who reads.
    #[serde(default)]
    pub user: Option<String>,
    /// File with the API token of that user.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Files with authorities to trust besides the system's.
    #[serde(default)]
    pub ca_files: Vec<PathBuf>,
    /// Proxy; `none` for none.
    #[serde(default)]
    pub proxy: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    tokens: Vec<AccessToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControllersFile {
    controllers: BTreeMap<String, ControllerConfig>,
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, BridgeError> {
    let text = text_of(file)?;
    serde_saphyr::from_str(&text)
        .map_err(|error| BridgeError::Input { path: file.to_owned(), message: error.to_string() })
}

/// Reads the access tokens.
///
/// # Errors
/// [`BridgeError::Input`].
pub fn read_tokens(file: &Path) -> Result<AccessTokens, BridgeError> {
    let read: TokensFile = read(file)?;
    AccessTokens::new(read.tokens)
        .map_err(|message| BridgeError::Input { path: file.to_owned(), message })
}

/// Reads the controllers, and makes a client for each.
///
/// # Errors
/// [`BridgeError::Input`], or what is wrong with an address, a token or a certificate.
pub fn read_controllers(file: &Path) -> Result<BTreeMap<String, Client>, BridgeError> {
    let read: ControllersFile = read(file)?;
    read.controllers
        .into_iter()
        .map(|(name, config)| {
            let connect =
                ConnectArgs::of(config.user, config.token_file, config.ca_files, config.proxy);
            Ok((name, connect.client(&config.url)?))
        })
        .collect()
}
