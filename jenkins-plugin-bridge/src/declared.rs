//! Files in which whoever runs the service declares something: small, and all that is wrong is told at once.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::catalog::read::{typed, yaml};
use crate::error::{BridgeError, Problem};

/// The most bytes of such a file: thousands of masters, tokens or forges.
const FILE_BYTES: u64 = 4 << 20;

/// The text of a file.
///
/// # Errors
/// [`BridgeError::Input`] for one that is too large, or cannot be read.
pub fn text_of(file: &Path) -> Result<String, BridgeError> {
    let failed = |message: String| BridgeError::Input { path: file.to_owned(), message };
    let size = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > FILE_BYTES {
        return Err(failed(format!("it has {size} bytes, more than {FILE_BYTES}")));
    }
    fs::read_to_string(file).map_err(|error| failed(error.to_string()))
}

/// What the text of a file declares; `file` is its name in messages. `beyond` finds what a schema cannot say.
///
/// # Errors
/// Everything that is wrong, as `error` tells it.
pub fn read<T: DeserializeOwned>(
    format: &str,
    file: &str,
    text: &str,
    beyond: impl Fn(&T) -> Vec<Problem>,
    error: fn(Vec<Problem>) -> BridgeError,
) -> Result<T, BridgeError> {
    let all =
        |problems: Vec<Problem>| error(problems.into_iter().map(|one| one.in_file(file)).collect());
    let value = yaml(text).map_err(|problem| all(vec![problem]))?;
    let read = typed(format, value).map_err(all)?;
    let problems = beyond(&read);
    if problems.is_empty() { Ok(read) } else { Err(all(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_size_at_most() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(FILE_BYTES).unwrap();
        assert_eq!(text_of(file.path()).unwrap().len() as u64, FILE_BYTES);
        file.as_file().set_len(FILE_BYTES + 1).unwrap();
        let refused = text_of(file.path()).unwrap_err().to_string();
        assert!(refused.contains("it has 4194305 bytes, more than 4194304"), "{refused}");
    }
}
