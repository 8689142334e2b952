//! Files that agents of one node share: jar files by their contents, archives of classes.
//!
//! A file gets its name only when it is complete, by renaming, so that any number of agents may start
//! at the same time. Jar files are checked against their names each time they are used.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jenkins_remoting::JarChecksum;
use sha2::{Digest as _, Sha256};

use super::JvmError;

/// More versions of a kind of file than a node's controllers are likely to have at a time.
const KEPT: usize = 6;

/// Unfinished files older than this were left behind.
const ABANDONED: Duration = Duration::from_secs(3600);

const UNFINISHED: &str = ".part";

/// The SHA-256 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

/// The directory. All its methods block.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    directory: PathBuf,
}

/// A file that is being written. It is gone when this is dropped before it was kept.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    written: u64,
}

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Self::finish(hasher)),
                read => hasher.update(buffer.get(..read).unwrap_or_default()),
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// By what a controller names the file.
    pub(crate) fn checksum(&self) -> JarChecksum {
        JarChecksum::of_sha256(&self.0)
    }
}

/// Hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Cache {
    /// The cache below a directory for jar files, created.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn open(jar_cache: &Path) -> Result<Self, JvmError> {
        let cache = Self { directory: jar_cache.join("jvm") };
        fs::create_dir_all(&cache.directory).map_err(|error| cache.failed(&error))?;
        Ok(cache)
    }

    pub(crate) fn failed(&self, error: &io::Error) -> JvmError {
        let directory = self.directory.display().to_string();
        JvmError::Cache { directory, problem: error.to_string() }
    }

    /// A jar file with these contents, if it is there and whole. One that is damaged is removed.
    pub(crate) fn jar(&self, kind: &str, digest: &Digest) -> Option<PathBuf> {
        let path = self.jar_path(kind, digest);
        match Digest::of_file(&path) {
            Ok(found) if found == *digest => Some(path),
            Ok(_) => {
                tracing::warn!("{} is damaged and is fetched again", path.display());
                let _ = fs::remove_file(&path);
                None
            }
            Err(_) => None,
        }
    }

    /// The same by the name that the controller has for the contents.
    pub(crate) fn jar_named(&self, kind: &str, jar: JarChecksum) -> Option<(PathBuf, Digest)> {
        let digests = fs::read_dir(&self.directory).ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Digest::parse(name.strip_prefix(kind)?.strip_prefix('-')?.strip_suffix(".jar")?)
        });
        let digest = digests.into_iter().find(|digest| digest.checksum() == jar)?;
        Some((self.jar(kind, &digest)?, digest))
    }

    fn jar_path(&self, kind: &str, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{kind}-{digest}.jar"))
    }

    /// A new file to write.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn create(&self) -> io::Result<Unfinished> {
        let path = self.unfinished();
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Unfinished { path, file, hasher: Sha256::new(), written: 0 })
    }

    /// A path for a file that somebody else writes; see [`Cache::keep_archive`].
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.directory.join(format!("{}{UNFINISHED}", uuid::Uuid::new_v4()))
    }

    /// Keeps a file as a jar file under its contents.
    ///
    /// # Errors
    /// When it cannot be written to the end or renamed.
    pub(crate) fn keep_jar(&self, kind: &str, file: Unfinished) -> io::Result<(PathBuf, Digest)> {
        file.file.sync_all()?;
        let digest = file.digest();
        let path = self.jar_path(kind, &digest);
        fs::rename(&file.path, &path)?;
        self.prune(kind, &path);
        Ok((path, digest))
    }

    /// The jar file with these contents, written unless it is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn ensure_jar(&self, kind: &str, contents: &[u8]) -> io::Result<(PathBuf, Digest)> {
        let digest = Digest::of(contents);
        if let Some(path) = self.jar(kind, &digest) {
            return Ok((path, digest));
        }
        let mut file = self.create()?;
        file.write(contents)?;
        self.keep_jar(kind, file)
    }

    /// Where the archive of classes of this key is, or would be.
    pub(crate) fn archive(&self, key: &Digest) -> PathBuf {
        self.directory.join(format!("classes-{key}.jsa"))
    }

    /// Keeps an archive that a JVM wrote to the path of [`Cache::unfinished`].
    ///
    /// # Errors
    /// When it was not written, or cannot be renamed.
    pub(crate) fn keep_archive(&self, written: &Path, key: &Digest) -> io::Result<()> {
        let path = self.archive(key);
        fs::rename(written, &path)?;
        self.prune("classes", &path);
        Ok(())
    }

    /// Removes the oldest files of a kind, and what was left unfinished. A JVM that has one open goes on
    /// with it.
    fn prune(&self, kind: &str, keep: &Path) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let now = SystemTime::now();
        let mut same_kind = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else {
                continue;
            };
            if name.ends_with(UNFINISHED) {
                if now.duration_since(modified).is_ok_and(|age| age > ABANDONED) {
                    let _ = fs::remove_file(entry.path());
                }
            } else if name.starts_with(&format!("{kind}-")) && entry.path() != keep {
                same_kind.push((modified, entry.path()));
            }
        }
        same_kind.sort();
        let surplus = (same_kind.len() + 1).saturating_sub(KEPT);
        for (_, path) in same_kind.into_iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

impl Unfinished {
    /// Appends.
    ///
    /// # Errors
    /// When the disk is full, for example.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Bytes written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// The digest of what was written.
    pub(crate) fn digest(&self) -> Digest {
        Digest::finish(self.hasher.clone())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already if it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        (directory, cache)
    }

    fn files(cache: &Cache) -> Vec<String> {
        let entries = fs::read_dir(&cache.directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_jar_is_found_by_its_contents_and_only_whole() {
        let (_directory, cache) = cache();
        let (path, digest) = cache.ensure_jar("remoting", b"one").unwrap();
        assert_eq!(
            digest.to_string(),
            "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
        );
        assert_eq!(cache.jar("remoting", &digest), Some(path.clone()));
        assert_eq!(cache.jar("launcher", &digest), None);
        assert_eq!(cache.ensure_jar("remoting", b"one").unwrap().0, path);
        assert_eq!(files(&cache).len(), 1);

        fs::write(&path, "on").unwrap();
        assert_eq!(cache.jar("remoting", &digest), None);
        assert!(!path.exists());
        assert_eq!(cache.ensure_jar("remoting", b"one").unwrap().0, path);
        assert_eq!(fs::read(path).unwrap(), b"one");
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let (_directory, cache) = cache();
        let mut file = cache.create().unwrap();
        file.write(b"half").unwrap();
        assert_eq!(file.written(), 4);
        drop(file);
        assert!(files(&cache).is_empty());
    }

    #[test]
    fn a_jar_is_found_by_the_controllers_name_for_it() {
        let (_directory, cache) = cache();
        let (path, digest) = cache.ensure_jar("remoting", b"one").unwrap();
        cache.ensure_jar("remoting", b"two").unwrap();
        fs::write(cache.directory.join("remoting-x.jar"), "").unwrap();
        fs::write(cache.directory.join(format!("remoting-{}.jar", "ä".repeat(32))), "").unwrap();
        let name = digest.checksum();
        assert_eq!(cache.jar_named("remoting", name), Some((path, digest)));
        assert_eq!(cache.jar_named("launcher", name), None);
        assert_eq!(cache.jar_named("remoting", Digest::of(b"three").checksum()), None);
    }

    #[test]
    fn the_oldest_versions_go() {
        let (_directory, cache) = cache();
        let hour = Duration::from_secs(3600);
        let mut age = SystemTime::now() - hour * 100;
        let mut jars = Vec::new();
        for version in 0_u8..8 {
            let (path, _) = cache.ensure_jar("remoting", &[version]).unwrap();
            age += hour;
            File::options().write(true).open(&path).unwrap().set_modified(age).unwrap();
            jars.push(path);
        }
        let abandoned = cache.unfinished();
        let file = File::create(&abandoned).unwrap();
        file.set_modified(age).unwrap();
        let other = cache.ensure_jar("launcher", b"x").unwrap().0;
        assert!(other.exists() && !abandoned.exists());
        let left: Vec<bool> = jars.iter().map(|path| path.exists()).collect();
        assert_eq!(left, [false, false, true, true, true, true, true, true]);
    }

    #[test]
    fn agents_that_start_together_do_not_meet() {
        let (directory, cache) = cache();
        let contents = vec![7_u8; 300_000];
        let stores: Vec<_> = (0..8)
            .map(|_| {
                let (cache, contents) = (cache.clone(), contents.clone());
                std::thread::spawn(move || cache.ensure_jar("remoting", &contents).unwrap().0)
            })
            .collect();
        let paths: Vec<PathBuf> = stores.into_iter().map(|store| store.join().unwrap()).collect();
        assert!(paths.iter().all(|path| path == paths.first().unwrap()));
        assert_eq!(files(&cache).len(), 1);
        drop(directory);
    }
}
