//! The cookie of the last connection, kept for the next life of the agent.
//!
//! A controller gives each connection a cookie, and takes a new connection of a node that counts as
//! connected only if it shows the cookie of the old one (`DefaultJnlpSlaveReceiver`). Without it an
//! agent that was killed is refused until the controller finds its old connection dead, which takes
//! minutes. So the cookie lies in a file of the internal directory that only the agent's user can
//! read: one per controller and node. It opens nothing by itself; the secret is needed too.
//!
//! A second agent of the same node and work directory must not throw the first one out with the
//! first one's own cookie, time and again. So whoever uses the file holds a lock, which the kernel
//! releases when the process ends in whatever way.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jenkins_remoting::transport::Cookie;
use sha2::{Digest as _, Sha256};

use crate::unix;

/// The first line of a file, so that a later format can be told from this one.
const FORMAT: &str = "pilotfish connection cookie 1";

/// Longest file that is read, in bytes. Ours have about 150 and the URL and name.
const MAX_BYTES: u64 = 16 << 10;

/// Where the cookie is kept between connections and between lives.
#[derive(Debug)]
pub(super) struct CookieStore {
    file: PathBuf,
    lock_file: PathBuf,
    /// What the file must be about: the controller and the node.
    about: String,
    held: Held,
    /// Whether a problem was told; more of the same say nothing new.
    told: bool,
}

/// Whether this process may use the file.
#[derive(Debug)]
enum Held {
    NotYet,
    /// The lock lasts as long as this.
    Locked(#[expect(dead_code, reason = "held for its lock")] File),
    /// The file system has no locks: better used without than not at all.
    Unlockable,
}

impl CookieStore {
    /// For a controller, by its URL or address, and a node.
    pub(super) fn new(internal: &Path, controller: &str, node: &str) -> Self {
        let about = format!("{controller:?}\n{node:?}");
        let digest = Sha256::digest(&about);
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let file = internal.join(format!("connection-{name}.cookie"));
        let lock_file = file.with_extension("lock");
        Self { file, lock_file, about, held: Held::NotYet, told: false }
    }

    /// The cookie of the last life, if this process may use it now. A file that is damaged or of
    /// somebody else is as good as none, and said to be.
    pub(super) fn load(&mut self) -> Option<Cookie> {
        if !self.lock() {
            return None;
        }
        match self.read() {
            Ok(cookie) => Some(cookie),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.tell(&format!("it is not used: {error}"));
                None
            }
        }
    }

    /// Keeps the cookie of a connection; `None` forgets the last one.
    pub(super) fn store(&mut self, cookie: Option<&Cookie>) {
        if !self.lock() {
            return;
        }
        let stored = match cookie {
            Some(cookie) => self.write(cookie),
            None => match fs::remove_file(&self.file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
        };
        if let Err(error) = stored {
            self.tell(&format!(
                "it cannot be kept, so that an agent that is killed may be refused for some minutes: {error}"
            ));
        }
    }

    fn tell(&mut self, problem: &str) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!("the connection cookie in {}: {problem}", self.file.display());
        }
    }

    fn lock(&mut self) -> bool {
        if !matches!(self.held, Held::NotYet) {
            return true;
        }
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let file = unix::plain(unix::private(options)).open(&self.lock_file);
        let locked = match file {
            Ok(file) => file.try_lock().map(|()| file),
            Err(error) => Err(TryLockError::Error(error)),
        };
        match locked {
            Ok(file) => self.held = Held::Locked(file),
            Err(TryLockError::WouldBlock) => {
                self.tell("another agent of this node uses this work directory, so it is not used");
                return false;
            }
            Err(TryLockError::Error(_)) => self.held = Held::Unlockable,
        }
        true
    }

    fn read(&self) -> io::Result<Cookie> {
        let file = unix::plain(OpenOptions::new().read(true)).open(&self.file)?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        let wrong = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem.to_owned());
        let rest = text
            .strip_prefix(FORMAT)
            .and_then(|rest| rest.strip_prefix('\n'))
            .ok_or_else(|| wrong("it has another format"))?;
        let cookie = rest
            .strip_prefix(&self.about)
            .and_then(|rest| rest.strip_prefix('\n'))
            .ok_or_else(|| wrong("it is about another controller or node"))?;
        // Whole lines alone: a file that was cut short must not pass.
        let cookie = cookie.strip_suffix('\n').ok_or_else(|| wrong("it is cut short"))?;
        Cookie::parse(cookie).ok_or_else(|| wrong("what it holds is no cookie"))
    }

    /// Replaces the file in one step, so that a kill at any time leaves a whole one.
    fn write(&self, cookie: &Cookie) -> io::Result<()> {
        let new = self.file.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = unix::private(options.write(true).create_new(true)).open(&new)?;
        file.write_all(format!("{FORMAT}\n{}\n{}\n", self.about, cookie.expose()).as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const COOKIE: &str = "c0ffee00c0ffee00";

    fn store(directory: &Path) -> CookieStore {
        CookieStore::new(directory, "http://c/", "linux-1")
    }

    fn files(directory: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_next_life_gets_it_and_nobody_else_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = store(directory.path());
        assert!(first.load().is_none());
        first.store(Cookie::parse("abcd").as_ref());
        first.store(Cookie::parse(COOKIE).as_ref());
        let file = first.file.clone();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        drop(first);
        assert_eq!(files(directory.path()).len(), 2, "no temporary file stays");
        let mut next = store(directory.path());
        assert_eq!(next.load().unwrap().expose(), COOKIE);
        next.store(None);
        assert!(next.load().is_none() && !file.exists());
        next.store(None);
    }

    #[test]
    fn each_controller_and_node_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        store(directory.path()).store(Cookie::parse(COOKIE).as_ref());
        for (url, node) in [("http://d/", "linux-1"), ("http://c/", "linux-2")] {
            assert!(CookieStore::new(directory.path(), url, node).load().is_none());
        }
        // A file that came under another one's name is found out.
        let own = store(directory.path());
        let mut other = CookieStore::new(directory.path(), "http://d/", "linux-1");
        fs::copy(&own.file, &other.file).unwrap();
        assert!(other.load().is_none());
        assert!(other.told);
    }

    #[test]
    fn what_is_damaged_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let mut damaged = store(directory.path());
        damaged.store(Cookie::parse(COOKIE).as_ref());
        let whole = fs::read_to_string(&damaged.file).unwrap();
        for length in 0..whole.len() {
            fs::write(&damaged.file, &whole[..length]).unwrap();
            assert!(damaged.load().is_none(), "{length} bytes");
        }
        for text in [whole.replace("c0", "x0"), whole.replace(" 1\n", " 2\n"), "\0".repeat(99)] {
            fs::write(&damaged.file, text).unwrap();
            assert!(damaged.load().is_none());
        }
        fs::write(&damaged.file, [0xff, 0xfe]).unwrap();
        assert!(damaged.load().is_none());
        fs::remove_file(&damaged.file).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, &whole).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &damaged.file).unwrap();
        assert!(damaged.load().is_none(), "links are not followed");
        damaged.store(Cookie::parse("abcd").as_ref());
        assert_eq!(damaged.load().unwrap().expose(), "abcd");
        assert_eq!(fs::read_to_string(elsewhere).unwrap(), whole);
    }

    #[test]
    fn a_second_agent_of_the_same_node_does_not_use_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = store(directory.path());
        first.store(Cookie::parse(COOKIE).as_ref());
        let mut second = store(directory.path());
        assert!(second.load().is_none());
        second.store(Cookie::parse("abcd").as_ref());
        assert_eq!(first.load().unwrap().expose(), COOKIE);
        drop(first);
        assert_eq!(second.load().unwrap().expose(), COOKIE, "it may once the first is gone");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_no_obstacle() {
        let mut nowhere = store(Path::new("/nonexistent"));
        nowhere.store(Cookie::parse(COOKIE).as_ref());
        assert!(nowhere.load().is_none());
    }
}
