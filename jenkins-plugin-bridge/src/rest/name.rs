//! Names of jobs, as people write them and as they stand in addresses.

use std::fmt;

use super::error::RestError;

/// The most bytes of a full name: far more than a file system lets a controller store.
const NAME_BYTES: usize = 4096;

/// The full name of a job or a folder: `php/shop/build`. The empty name is the controller itself.
///
/// A branch of a multibranch project has a name in which the branch is percent-encoded
/// (`jenkins.branch.NameEncoder`): the branch `feature/x` of `shop` is the job `shop/feature%2Fx`.
/// In an address that is encoded once more: `job/shop/job/feature%252Fx`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName(String);

impl JobName {
    /// The controller itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a full name, or a path as in an address: `job/php/job/shop/`.
    ///
    /// # Errors
    /// [`RestError::Name`] for a name with an empty part, `.`, `..`, a control character or more
    /// than 4096 bytes.
    pub fn parse(text: &str) -> Result<Self, RestError> {
        let refuse = |reason| Err(RestError::Name { name: shorten(text), reason });
        if text.len() > NAME_BYTES {
            return refuse("it has more than 4096 bytes");
        }
        let trimmed = text.trim_matches('/');
        if trimmed.is_empty() {
            return refuse("it is empty");
        }
        for part in trimmed.split('/') {
            if matches!(part, "" | "." | "..") {
                return refuse("it has a part that is empty or dots");
            }
            if part.chars().any(char::is_control) {
                return refuse("it has a control character");
            }
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// Reads a name as a user gives it: a full name, or the address of a job on this controller.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_user(text: &str, controller: &str) -> Result<Self, RestError> {
        let Some(path) = text.strip_prefix(controller.trim_end_matches('/')) else {
            return Self::parse(text);
        };
        let mut parts = Vec::new();
        let mut rest = path.trim_matches('/').split('/');
        while let Some(word) = rest.next() {
            match (word, rest.next()) {
                ("job", Some(name)) => parts.push(percent_decoded(name)),
                // A view (`view/all/job/x`) is no part of the name of a job.
                ("view", Some(_)) => {}
                _ => break,
            }
        }
        Self::parse(&parts.join("/"))
    }

    /// The name of a job in this folder.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) }
    }

    /// The folder that it is in, and its name there.
    #[must_use]
    pub fn parent(&self) -> (Self, String) {
        match self.0.rsplit_once('/') {
            Some((folder, name)) => (Self(folder.to_owned()), name.to_owned()),
            None => (Self::root(), self.0.clone()),
        }
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the controller itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its path in an address, without a slash at the start, with one at the end unless it is
    /// empty: `job/php/job/shop/`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for part in self.0.split('/').filter(|part| !part.is_empty()) {
            path.push_str("job/");
            encode(part, &mut path);
            path.push('/');
        }
        path
    }

    /// The last part, decoded: the branch, where the job is one of a multibranch project.
    #[must_use]
    pub fn branch(&self) -> String {
        percent_decoded(self.0.rsplit('/').next().unwrap_or_default())
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn shorten(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(80).collect()
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn encode(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Undoes percent-encoding; what is not well encoded stays as it is.
#[must_use]
pub fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        decoded.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_and_branches_become_paths() {
        let path = |name: &str| JobName::parse(name).unwrap().path();
        assert_eq!(path("team-a/web"), "job/team-a/job/web/");
        assert_eq!(path("shop/feature%2Fx"), "job/shop/job/feature%252Fx/");
        assert_eq!(path("Größe 1/b"), "job/Gr%C3%B6%C3%9Fe%201/job/b/");
        assert_eq!(JobName::root().path(), "");
        assert_eq!(JobName::parse("shop/feature%2Fx").unwrap().branch(), "feature/x");
    }

    #[test]
    fn addresses_of_jobs_are_names_too() {
        let name = |text| JobName::from_user(text, "https://ci/jenkins/").unwrap();
        assert_eq!(name("https://ci/jenkins/job/a/job/feature%252Fx/").as_str(), "a/feature%2Fx");
        assert_eq!(name("https://ci/jenkins/view/all/job/a/").as_str(), "a");
        assert_eq!(name("https://ci/jenkins/job/a/12/console").as_str(), "a");
        assert_eq!(name("a/b").as_str(), "a/b");
        assert_eq!(name("job/b").as_str(), "job/b");
    }

    #[test]
    fn names_that_leave_their_place_are_refused() {
        for wrong in ["", "/", "a//b", "a/../b", ".", "a/\n"] {
            assert!(JobName::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(JobName::parse(&"a".repeat(5000)).is_err());
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_its_path(name in "[^/\\p{Cc}]{1,20}") {
            prop_assume!(name != "." && name != "..");
            let path = JobName::parse(&name).unwrap().path();
            prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic()));
            let back = JobName::from_user(&format!("https://ci/{path}"), "https://ci").unwrap();
            prop_assert_eq!(back.as_str(), name);
        }
    }
}
