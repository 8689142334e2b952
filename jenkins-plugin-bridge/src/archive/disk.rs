//! An archive in a directory. A build is one directory, named by its id, which appears at once and complete.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::ArchiveError;
use super::place::{Object, Place, Reading, Writing};

/// Bytes that are read at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// A directory.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// Opens a directory. It is made where it is not there.
    pub fn open(directory: &Path) -> Result<Self, ArchiveError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| ArchiveError::disk(format!("make {}", directory.display()), error))?;
        Ok(Self { directory: directory.to_owned() })
    }

    fn place(&self, build: &str) -> PathBuf {
        self.directory.join(build)
    }

    /// Where a build is that is not complete.
    fn unfinished(&self, build: &str) -> PathBuf {
        self.directory.join(format!("{build}.new"))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    move |error| ArchiveError::disk(format!("{action} {}", path.display()), error)
}

async fn remove_directory(directory: &Path) -> Result<(), ArchiveError> {
    match fs::remove_dir_all(directory).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", directory)(error))
        }
        _ => Ok(()),
    }
}

/// A file that is being written.
struct Open {
    file: File,
    path: PathBuf,
}

#[async_trait]
impl Writing for Open {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        self.file.write_all(&bytes).await.map_err(failed("write", &self.path))
    }

    async fn finish(mut self: Box<Self>) -> Result<(), ArchiveError> {
        self.file.flush().await.map_err(failed("write", &self.path))
    }

    async fn abandon(self: Box<Self>) {
        if let Err(error) = fs::remove_file(&self.path).await {
            tracing::warn!(path = %self.path.display(), %error, "what was begun cannot be removed");
        }
    }
}

#[async_trait]
impl Place for Disk {
    async fn check(&self) -> Result<(), ArchiveError> {
        let path = self.unfinished(&format!("check-{}", std::process::id()));
        fs::write(&path, b"").await.map_err(failed("write", &path))?;
        fs::remove_file(&path).await.map_err(failed("remove", &path))
    }

    async fn begin(&self, build: &str) -> Result<(), ArchiveError> {
        let new = self.unfinished(build);
        remove_directory(&new).await?;
        fs::create_dir(&new).await.map_err(failed("make", &new))
    }

    async fn write(&self, build: &str, object: Object) -> Result<Box<dyn Writing>, ArchiveError> {
        let path = self.unfinished(build).join(object.to_string());
        let file = File::create(&path).await.map_err(failed("write", &path))?;
        Ok(Box::new(Open { file, path }))
    }

    async fn finish(&self, build: &str, kept: Bytes) -> Result<(), ArchiveError> {
        let (new, place) = (self.unfinished(build), self.place(build));
        let file = new.join(Object::Kept.to_string());
        fs::write(&file, &kept).await.map_err(failed("write", &file))?;
        match fs::rename(&new, &place).await {
            // A leader that died had put it here before.
            Err(_) if place.is_dir() => remove_directory(&new).await,
            done => done.map_err(failed("move", &new)),
        }
    }

    async fn read(
        &self,
        build: &str,
        object: Object,
        from: u64,
        most: u64,
    ) -> Result<Option<Reading>, ArchiveError> {
        let path = self.place(build).join(object.to_string());
        let mut file = match File::open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed("read", &path))?,
        };
        let size = file.metadata().await.map_err(failed("read", &path))?.len();
        file.seek(SeekFrom::Start(from)).await.map_err(failed("read", &path))?;
        let left = most.min(size.saturating_sub(from));
        let pieces = stream::try_unfold((file, path, left), async |(mut file, path, left)| {
            if left == 0 {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            let piece = (&mut file).take(left.min(PIECE_BYTES)).read_to_end(&mut bytes).await;
            match piece.map_err(failed("read", &path))? {
                0 => Err(failed("read", &path)(io::ErrorKind::UnexpectedEof.into())),
                read => Ok(Some((Bytes::from(bytes), (file, path, left - read as u64)))),
            }
        });
        Ok(Some(Reading { size, pieces: pieces.boxed() }))
    }

    async fn remove(&self, build: &str) -> Result<(), ArchiveError> {
        remove_directory(&self.unfinished(build)).await?;
        remove_directory(&self.place(build)).await
    }
}
