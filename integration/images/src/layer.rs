//! A layer: files, directories and links, written in one order with one time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::error::Error;

/// What is added to an image. The same contents give the same bytes.
#[derive(Debug, Default)]
pub struct Layer {
    /// By path, so that a directory comes before what is in it.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    /// User and group.
    owner: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Directory,
    Bytes(Vec<u8>),
    /// A file of this machine, read when the layer is written.
    Copy(PathBuf),
    Link(String),
}

impl Layer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory with its mode and its owner, who is also its group.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32, owner: u64) -> Self {
        self.with(path, Entry { mode, owner, content: Content::Directory })
    }

    /// Adds a file of root's.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.with(path, Entry { mode, owner: 0, content: Content::Bytes(bytes.into()) })
    }

    /// Adds a copy of a file of this machine, as root's.
    #[must_use]
    pub fn copy(self, path: &str, mode: u32, from: &Path) -> Self {
        self.with(path, Entry { mode, owner: 0, content: Content::Copy(from.to_owned()) })
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.with(path, Entry { mode: 0o777, owner: 0, content: Content::Link(target.to_owned()) })
    }

    fn with(mut self, path: &str, entry: Entry) -> Self {
        self.entries.insert(path.to_owned(), entry);
        self
    }

    /// Writes it as a tar file in which everything has this time, in seconds since 1970. Parents
    /// that were not added are left to the unpacker or to a layer below.
    ///
    /// # Errors
    /// A path that leads out of the image, a file that cannot be read, the writer's own.
    pub fn write_to(&self, writer: impl Write, epoch: u64) -> Result<(), Error> {
        let mut tar = Builder::new(writer);
        for (path, entry) in &self.entries {
            check(path)?;
            let mut header = Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_mtime(epoch);
            let written = match &entry.content {
                Content::Directory => {
                    header.set_entry_type(EntryType::Directory);
                    append(&mut tar, header, &format!("{path}/"), 0, std::io::empty())
                }
                Content::Bytes(bytes) => {
                    append(&mut tar, header, path, bytes.len() as u64, bytes.as_slice())
                }
                Content::Copy(from) => {
                    let file = File::open(from).map_err(Error::at(from))?;
                    let size = file.metadata().map_err(Error::at(from))?.len();
                    append(&mut tar, header, path, size, file.take(size))
                }
                Content::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    tar.append_link(&mut header, path, target)
                }
            };
            written.map_err(Error::at(Path::new(path)))?;
        }
        tar.into_inner()
            .and_then(|mut writer| writer.flush())
            .map_err(Error::at(Path::new("layer")))
    }
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    mut header: Header,
    path: &str,
    size: u64,
    content: impl Read,
) -> std::io::Result<()> {
    header.set_size(size);
    tar.append_data(&mut header, path, content)
}

fn check(path: &str) -> Result<(), Error> {
    let parts = Path::new(path).components();
    let normal = parts.clone().all(|part| matches!(part, std::path::Component::Normal(_)));
    if normal && parts.count() > 0 { Ok(()) } else { Err(Error::Path(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layer: &Layer) -> Vec<u8> {
        let mut bytes = Vec::new();
        layer.write_to(&mut bytes, 7).unwrap();
        bytes
    }

    #[test]
    fn the_order_in_which_things_are_added_does_not_matter() {
        let first = Layer::new().directory("a", 0o755, 0).file("a/b", 0o644, "b").link("c", "a/b");
        let second = Layer::new().link("c", "a/b").file("a/b", 0o644, "b").directory("a", 0o755, 0);
        let bytes = written(&first);
        assert_eq!(bytes, written(&second));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                (path, header.entry_type(), header.mtime().unwrap(), header.mode().unwrap())
            })
            .collect();
        assert_eq!(
            found,
            [
                ("a/".to_owned(), EntryType::Directory, 7, 0o755),
                ("a/b".to_owned(), EntryType::Regular, 7, 0o644),
                ("c".to_owned(), EntryType::Symlink, 7, 0o777),
            ]
        );
    }

    #[test]
    fn no_path_leads_out_of_the_image() {
        for path in ["", "/etc/passwd", "../x", "a/../../x"] {
            let layer = Layer::new().file(path, 0o644, "x");
            assert!(layer.write_to(Vec::new(), 0).is_err(), "{path:?}");
        }
    }
}
