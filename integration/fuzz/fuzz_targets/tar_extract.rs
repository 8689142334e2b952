//! Any tar or tar.gz: nothing outside of the target directory changes.
#![no_main]

mod jail;

use jail::Jail;
use libfuzzer_sys::fuzz_target;
use pilotfish_agent::files::tar_in::extract_tar;
use pilotfish_agent::files::{Cancel, Compression, LinkPolicy};

fuzz_target!(|bytes: &[u8]| {
    let Some((&mode, archive)) = bytes.split_first() else { return };
    let compression = if mode & 1 == 0 { Compression::None } else { Compression::Gzip };
    let links = if mode & 2 == 0 { LinkPolicy::Never } else { LinkPolicy::FollowExisting };
    let jail = Jail::new();
    let result = extract_tar(archive, jail.target(), "it", compression, links, &Cancel::new());
    assert!(result.err().is_none_or(|error| !error.to_string().is_empty()));
    jail.check();
});
