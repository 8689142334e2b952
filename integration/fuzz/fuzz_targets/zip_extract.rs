//! Any zip: nothing outside of the target directory changes.
#![no_main]

mod jail;

use jail::Jail;
use libfuzzer_sys::fuzz_target;
use pilotfish_agent::files::zip_in::extract_zip_stream;
use pilotfish_agent::files::{Cancel, LinkPolicy};

fuzz_target!(|bytes: &[u8]| {
    let Some((&mode, archive)) = bytes.split_first() else { return };
    let links = if mode & 2 == 0 { LinkPolicy::Never } else { LinkPolicy::FollowExisting };
    let jail = Jail::new();
    let result = extract_zip_stream(archive, jail.target(), links, &Cancel::new());
    assert!(result.err().is_none_or(|error| !error.to_string().is_empty()));
    jail.check();
});
