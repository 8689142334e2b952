//! The tokens that masters declared over the API name. Whoever may declare a master does not see them, and cannot
//! have them sent elsewhere: each says itself at which addresses it is good.

use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::BridgeError;

/// The most bytes of a file: a token and some addresses.
const FILE_BYTES: u64 = 16 << 10;

/// A directory of tokens; in Kubernetes, a Secret as a volume.
#[derive(Debug, Clone)]
pub struct TokenDirectory(PathBuf);

/// A token.
pub struct MasterToken {
    /// The token.
    pub token: Zeroizing<String>,
    /// Addresses of masters that it may be sent to, without a slash at their end.
    addresses: Vec<String>,
    /// Authorities to trust at that master besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for MasterToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterToken").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl TokenDirectory {
    /// A directory that is there.
    ///
    /// # Errors
    /// [`BridgeError::Input`] for another thing.
    pub fn open(directory: &Path) -> Result<Self, BridgeError> {
        let failed = |message: String| BridgeError::Input { path: directory.to_owned(), message };
        if fs::metadata(directory).map_err(|error| failed(error.to_string()))?.is_dir() {
            Ok(Self(directory.to_owned()))
        } else {
            Err(failed("expected a directory with a file for each token".to_owned()))
        }
    }

    /// The token of that name, for a master with this address.
    ///
    /// # Errors
    /// What is wrong, for people; nothing of the file's content is in it.
    pub fn token_for(&self, name: &str, url: &str) -> Result<MasterToken, String> {
        let token = self.read(name)?;
        if token.is_good_at(url) {
            return Ok(token);
        }
        Err(format!(
            "the token {name} is not good at {url}: whoever runs the service writes the address below the token in \
             its file"
        ))
    }

    /// Reads a token: the first line of the file of that name. The lines after it are the addresses that it may be
    /// sent to. A file of the same name with `.pem` after it has authorities to trust.
    fn read(&self, name: &str) -> Result<MasterToken, String> {
        // A name that the schema lets through cannot leave the directory; one from the database is looked at again.
        let is_name = |one: char| one.is_ascii_alphanumeric() || "_.-".contains(one);
        if name.starts_with('.') || !name.chars().all(is_name) {
            return Err(format!("{name:?} is no name of a token"));
        }
        let file = self.0.join(name);
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!(
                    "there is no token {name}: put a file of that name into the directory of --master-tokens"
                )
            }
            _ => format!("the token {name} cannot be read: {error}"),
        };
        let size = fs::metadata(&file).map_err(failed)?.len();
        if size > FILE_BYTES {
            return Err(format!("the token {name} has {size} bytes, more than {FILE_BYTES}"));
        }
        let text = Zeroizing::new(fs::read_to_string(&file).map_err(failed)?);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let token = lines.next().ok_or_else(|| format!("the file of the token {name} is empty"))?;
        let token = Zeroizing::new(token.to_owned());
        let addresses = lines.map(|line| line.trim_end_matches('/').to_owned()).collect();
        let ca_file = self.0.join(format!("{name}.pem"));
        Ok(MasterToken { token, addresses, ca_file: ca_file.is_file().then_some(ca_file) })
    }
}

impl MasterToken {
    /// Whether it may be sent to a master with this address.
    fn is_good_at(&self, url: &str) -> bool {
        self.addresses.iter().any(|address| address == url.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_it_is_good() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("north", "11aabb\n\nhttps://north.example.com/ci/\nhttps://north\n");
        write("bare", "11aabb\n");
        write("none", " \n");
        fs::write(directory.path().join("large"), vec![b'a'; 16_385]).unwrap();
        fs::create_dir(directory.path().join("folder")).unwrap();
        let tokens = TokenDirectory::open(directory.path()).unwrap();
        let token = tokens.read("north").unwrap();
        assert_eq!(token.token.as_str(), "11aabb");
        assert!(
            token.is_good_at("https://north.example.com/ci") && token.is_good_at("https://north/")
        );
        for other in ["https://north.example.com/", "http://north", "https://north.evil", ""] {
            assert!(!token.is_good_at(other), "{other}");
        }
        assert!(tokens.token_for("north", "https://north/").is_ok());
        let refused = tokens.token_for("north", "https://north.evil").unwrap_err();
        assert!(
            refused.starts_with("the token north is not good at https://north.evil"),
            "{refused}"
        );
        assert_eq!(token.ca_file, None);
        assert!(!format!("{token:?}").contains("11aabb"));
        assert!(!tokens.read("bare").unwrap().is_good_at(""));
        write("north.pem", "a certificate");
        assert_eq!(tokens.read("north").unwrap().ca_file, Some(directory.path().join("north.pem")));
        for bad in ["south", "none", "large", "folder", "../north", "a/b", ".hidden"] {
            let message = tokens.read(bad).unwrap_err();
            assert!(!message.contains("11aabb"), "{message}");
        }
        assert!(TokenDirectory::open(&directory.path().join("north")).is_err());
    }
}
