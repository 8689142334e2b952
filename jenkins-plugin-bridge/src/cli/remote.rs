//! The commands that speak to other machines: `inspect`, `serve`, and those that make keys and
//! tokens for the service.

use tokio::runtime::{Builder, Runtime};

use super::{PASSED, complain, print};
use crate::error::BridgeError;
use crate::operator::{self, OperatorArgs};
use crate::rest::{self, InspectArgs};
use crate::service::{self, KeyArgs, ServeArgs, TokenArgs};

pub(super) fn runtime() -> Result<Runtime, BridgeError> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| BridgeError::io("start the runtime", error))
}

pub(super) fn inspect(arguments: &InspectArgs) -> Result<u8, BridgeError> {
    print(&runtime()?.block_on(rest::inspect(arguments))?);
    Ok(PASSED)
}

pub(super) fn serve(arguments: &ServeArgs) -> Result<u8, BridgeError> {
    runtime()?.block_on(service::serve(arguments))?;
    Ok(PASSED)
}

pub(super) fn operator(arguments: &OperatorArgs) -> Result<u8, BridgeError> {
    runtime()?.block_on(operator::operate(arguments))?;
    Ok(PASSED)
}

pub(super) fn keygen(arguments: &KeyArgs) -> Result<u8, BridgeError> {
    print(&service::make_key(arguments)?);
    Ok(PASSED)
}

pub(super) fn token(arguments: &TokenArgs) -> Result<u8, BridgeError> {
    let made = service::make_token(arguments)?;
    complain("the token is shown once; the entry below `tokens:` holds its digest only");
    print(&format!("{}\n{}", made.token.as_str(), made.entry));
    Ok(PASSED)
}
