//! Any object stream as a command: a command or an error.
#![no_main]

use bytes::Bytes;
use jenkins_remoting::command::Command;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    match Command::decode(&bytes) {
        Ok(command) => assert!(!format!("{command:?}").is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
