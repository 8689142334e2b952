//! Java's list of authorities: its package writes the time of the installation into each entry, and nothing
//! else in a Debian system differs from one build to the next.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

use crate::error::Error;

/// Where Debian keeps it.
const PATH: &str = "etc/ssl/certs/java/cacerts";
/// How a key store of the kind JKS, version 2, begins.
const HEAD: [u8; 8] = [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
/// The kind of an entry that is a certificate.
const CERTIFICATE: [u8; 4] = [0, 0, 0, 2];
/// The password that all Java runtimes have for it; it protects nothing.
const PASSWORD: &str = "changeit";
/// What the format puts between the password and the contents.
const SALT: &[u8] = b"Mighty Aphrodite";
/// The largest that is read, in bytes; Debian's has 0.2 MB.
const MAX_BYTES: u64 = 16 << 20;

/// Gives all entries of the list in a system's tar file the same time, in seconds since 1970.
///
/// # Errors
/// A file that cannot be read or written, and a list of another form.
pub(crate) fn set_times(tar: &Path, epoch: u64) -> Result<(), Error> {
    let file = File::open(tar).map_err(Error::at(tar))?;
    let mut archive = tar::Archive::new(file);
    let mut found = None;
    for entry in archive.entries_with_seek().map_err(Error::at(tar))? {
        let mut entry = entry.map_err(Error::at(tar))?;
        let path = entry.path().map_err(Error::at(tar))?;
        if path.strip_prefix(".").unwrap_or(&path) == Path::new(PATH) && entry.size() <= MAX_BYTES {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(Error::at(tar))?;
            found = Some((entry.raw_file_position(), bytes));
            break;
        }
    }
    let Some((position, mut bytes)) = found else { return Ok(()) };
    with_times(&mut bytes, epoch.saturating_mul(1000)).ok_or(Error::KeyStore)?;
    let mut file = OpenOptions::new().write(true).open(tar).map_err(Error::at(tar))?;
    file.seek(SeekFrom::Start(position)).map_err(Error::at(tar))?;
    file.write_all(&bytes).map_err(Error::at(tar))
}

/// Writes the time, in milliseconds, into all entries, and the digest behind them; `None` if these
/// bytes are no list of certificates.
fn with_times(bytes: &mut [u8], time: u64) -> Option<()> {
    let end = bytes.len().checked_sub(SHA1_OUTPUT_LEN)?;
    let (contents, digest) = bytes.split_at_mut(end);
    if contents.get(..HEAD.len())? != HEAD {
        return None;
    }
    let mut at = 12;
    for _ in 0..number(contents, 8, 4)? {
        if contents.get(at..at + 4)? != CERTIFICATE {
            return None;
        }
        // Its name, the time, the kind of the certificate, and the certificate.
        at += 4;
        at += 2 + number(contents, at, 2)?;
        contents.get_mut(at..at + 8)?.copy_from_slice(&time.to_be_bytes());
        at += 8;
        at += 2 + number(contents, at, 2)?;
        at += 4 + number(contents, at, 4)?;
    }
    if at != contents.len() {
        return None;
    }
    digest.copy_from_slice(&digest_of(contents));
    Some(())
}

/// A number of two or four bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let digits = bytes.get(at..at.checked_add(length)?)?;
    Some(digits.iter().fold(0, |number, digit| number << 8 | usize::from(*digit)))
}

fn digest_of(contents: &[u8]) -> [u8; SHA1_OUTPUT_LEN] {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        context.update(&unit.to_be_bytes());
    }
    context.update(SALT);
    context.update(contents);
    let mut digest = [0; SHA1_OUTPUT_LEN];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list with one certificate, of this time.
    fn list(time: u64) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(CERTIFICATE);
        bytes.extend([0, 2]);
        bytes.extend(b"ca");
        bytes.extend(time.to_be_bytes());
        bytes.extend([0, 5]);
        bytes.extend(b"X.509");
        bytes.extend([0, 0, 0, 3]);
        bytes.extend([1, 2, 3]);
        let digest = digest_of(&bytes);
        bytes.extend(digest);
        bytes
    }

    #[test]
    fn the_time_of_the_installation_is_replaced_in_the_tar_file() {
        let dir = tempfile::tempdir().unwrap();
        let tar = |time| {
            let path = dir.path().join("debian.tar");
            let layer = crate::Layer::new().file("a", 0o644, "text").file(PATH, 0o644, list(time));
            layer.write_to(File::create(&path).unwrap(), 5).unwrap();
            set_times(&path, 5).unwrap();
            std::fs::read(path).unwrap()
        };
        assert_eq!(tar(1_700_000_000_000), tar(1_800_000_000_000));
        let mut bytes = list(7);
        with_times(&mut bytes, 5000).unwrap();
        assert_eq!(bytes, list(5000));
    }

    #[test]
    fn other_bytes_are_refused() {
        let whole = list(7);
        for length in 0..whole.len() {
            assert_eq!(with_times(&mut whole[..length].to_vec(), 1), None, "{length} bytes");
        }
        let mut many = list(7);
        many[8..12].fill(0xff);
        assert_eq!(with_times(&mut many, 1), None);
    }
}
