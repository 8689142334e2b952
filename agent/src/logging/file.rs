//! Log files that rotate as `java.util.logging.FileHandler` does: `name.0` is the current one, a full
//! file and every start move each to the next number, and the last one goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::unix;

/// How many agents may share a directory; the second's files are `name.0.1`.
const MOST_SHARED: u32 = 100;

/// Where and how much to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileOptions {
    /// Path without numbers, or with the field `%g` for the generation.
    pub(super) pattern: PathBuf,
    /// Size in bytes from which a new file is begun; 0 means never.
    pub(super) limit: u64,
    /// Number of files, at least 1.
    pub(super) count: u32,
    /// Whether to go on with the existing file at start.
    pub(super) append: bool,
}

#[derive(Debug)]
pub(super) struct RotatingFile {
    options: FileOptions,
    /// Number that tells agents in one directory apart.
    unique: u32,
    file: File,
    written: u64,
    /// Held for as long as this lives.
    _lock: File,
}

impl RotatingFile {
    pub(super) fn open(options: FileOptions) -> io::Result<Self> {
        for unique in 0..MOST_SHARED {
            let path = generation(&options, 0, unique);
            let Some(lock) = lock(&path)? else { continue };
            if !options.append {
                shift(&options, unique);
            }
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let written = file.metadata()?.len();
            return Ok(Self { options, unique, file, written, _lock: lock });
        }
        Err(io::Error::other(format!(
            "{MOST_SHARED} other agents log here: use another work directory"
        )))
    }

    fn rotate(&mut self) -> io::Result<()> {
        shift(&self.options, self.unique);
        let path = generation(&self.options, 0, self.unique);
        self.file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        self.written = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let count = self.file.write(text)?;
        self.written += count as u64;
        // A record stays whole: a new file is begun after the one that reaches the limit.
        if self.options.limit > 0 && self.written >= self.options.limit && count == text.len() {
            self.rotate()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Moves every file to the next number. Files that are not there are passed over.
fn shift(options: &FileOptions, unique: u32) {
    for number in (1..options.count).rev() {
        let _ = fs::rename(
            generation(options, number - 1, unique),
            generation(options, number, unique),
        );
    }
    if options.count <= 1 {
        let _ = fs::remove_file(generation(options, 0, unique));
    }
}

fn generation(options: &FileOptions, number: u32, unique: u32) -> PathBuf {
    let text = options.pattern.as_os_str();
    let mut path = match text.to_str().filter(|text| text.contains("%g")) {
        Some(text) => OsString::from(text.replace("%g", &number.to_string())),
        None => {
            let mut path = text.to_owned();
            if options.count > 1 {
                path.push(format!(".{number}"));
            }
            path
        }
    };
    if unique > 0 {
        path.push(format!(".{unique}"));
    }
    path.into()
}

/// Takes the lock beside the current file. `None` if another process holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lck");
    let file =
        OpenOptions::new().create(true).write(true).truncate(false).open(PathBuf::from(name))?;
    // Without locks (some network file systems): log all the same.
    Ok(unix::lock(&file).then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(directory: &Path, limit: u64, count: u32, append: bool) -> FileOptions {
        FileOptions { pattern: directory.join("remoting.log"), limit, count, append }
    }

    fn contents(directory: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_none_or(|extension| extension != "lck"))
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    #[test]
    fn full_files_move_on_and_the_last_goes() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RotatingFile::open(options(directory.path(), 8, 3, false)).unwrap();
        for number in 0..9 {
            log.write_all(format!("line{number}").as_bytes()).unwrap();
        }
        // Two lines of five bytes fill a file; the ninth line is in a new one.
        assert_eq!(
            contents(directory.path()),
            pairs(&[
                ("remoting.log.0", "line8"),
                ("remoting.log.1", "line6line7"),
                ("remoting.log.2", "line4line5")
            ])
        );
    }

    #[test]
    fn a_start_begins_a_new_file_unless_it_appends() {
        let directory = tempfile::tempdir().unwrap();
        for (text, append) in [("a", false), ("b", false), ("c", true)] {
            let mut log = RotatingFile::open(options(directory.path(), 100, 3, append)).unwrap();
            log.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(
            contents(directory.path()),
            pairs(&[("remoting.log.0", "bc"), ("remoting.log.1", "a")])
        );
    }

    #[test]
    fn two_agents_in_one_directory_keep_apart() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = RotatingFile::open(options(directory.path(), 100, 3, false)).unwrap();
        let mut second = RotatingFile::open(options(directory.path(), 100, 3, false)).unwrap();
        first.write_all(b"first").unwrap();
        second.write_all(b"second").unwrap();
        assert_eq!(
            contents(directory.path()),
            pairs(&[("remoting.log.0", "first"), ("remoting.log.0.1", "second")])
        );
    }

    #[test]
    fn one_file_without_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RotatingFile::open(options(directory.path(), 4, 1, false)).unwrap();
        log.write_all(b"long enough").unwrap();
        log.write_all(b"b").unwrap();
        assert_eq!(contents(directory.path()), pairs(&[("remoting.log", "b")]));
    }
}
