//! Writes the tar streams of stash, archive and directory copies, as Jenkins' `TarArchiver` does on Ant's
//! `TarOutputStream`: GNU long names, base-256 numbers, no owner, links kept as links.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::write::GzEncoder;
use rustix::fs::OFlags;

use super::links::LinkCheck;
use super::scanner::{Checked, DirScanner, FileVisitor};
use super::tar_header::{BLOCK, DEFAULT_FILE_MODE, Header, NAME_LIMIT, RECORD, kind};
use super::{BUFFER, Cancel, Compression, FileError, Result};

/// Level of `java.util.zip.GZIPOutputStream`.
const GZIP_LEVEL: u32 = 6;

/// Writes what `scanner` finds in `dir` to `out` and returns the number of entries, as Java counts them.
///
/// Nothing found gives an empty archive of one block. `check` stands for the open options of `FilePath$Archive`.
///
/// # Errors
/// A file that cannot be read or that shrinks while it is read; errors of `out`; cancellation. The stream is then
/// incomplete.
pub fn write_tar<W: Write>(
    dir: &Path,
    scanner: &DirScanner,
    check: &LinkCheck,
    compression: Compression,
    out: W,
    cancel: &Cancel,
) -> Result<u32> {
    match compression {
        Compression::None => {
            let out = std::io::BufWriter::with_capacity(BUFFER, out);
            let (count, mut out) = write_entries(dir, scanner, check, out, cancel)?;
            out.flush().map_err(FileError::stream)?;
            Ok(count)
        }
        Compression::Gzip => {
            let out = GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
            let (count, out) = write_entries(dir, scanner, check, out, cancel)?;
            out.finish().and_then(|mut out| out.flush()).map_err(FileError::stream)?;
            Ok(count)
        }
    }
}

fn write_entries<W: Write>(
    dir: &Path,
    scanner: &DirScanner,
    check: &LinkCheck,
    out: W,
    cancel: &Cancel,
) -> Result<(u32, W)> {
    let mut writer = TarWriter::new(out, cancel.clone());
    if check.is_active() {
        scanner.scan(dir, &mut Checked::new(&mut writer, check), cancel)?;
    } else {
        scanner.scan(dir, &mut writer, cancel)?;
    }
    let count = writer.count;
    Ok((count, writer.finish()?))
}

/// A tar stream under construction.
pub struct TarWriter<W: Write> {
    out: W,
    written: u64,
    count: u32,
    buffer: Vec<u8>,
    cancel: Cancel,
}

impl<W: Write> TarWriter<W> {
    /// Starts a stream.
    pub fn new(out: W, cancel: Cancel) -> Self {
        Self { out, written: 0, count: 0, buffer: vec![0; BUFFER], cancel }
    }

    /// Entries written so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Ends the stream: two empty records, padded to a whole block.
    ///
    /// # Errors
    /// Those of the stream below.
    pub fn finish(mut self) -> Result<W> {
        let end = (self.written + 2 * RECORD as u64).next_multiple_of(BLOCK as u64);
        let zeros = [0; BLOCK + 2 * RECORD];
        let missing = usize::try_from(end - self.written).unwrap_or(zeros.len());
        self.put(&zeros[..missing])?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(FileError::stream)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> Result<()> {
        let missing = self.written.next_multiple_of(RECORD as u64) - self.written;
        self.put(&[0; RECORD][..usize::try_from(missing).unwrap_or(0)])
    }

    fn header(&mut self, header: &Header<'_>) -> Result<()> {
        self.long(header, header.name, kind::LONG_NAME)?;
        self.long(header, header.link, kind::LONG_LINK)?;
        self.put(&header.encode())
    }

    /// The extra entry for a name or link text that does not fit into the header.
    fn long(&mut self, header: &Header<'_>, text: &[u8], kind: u8) -> Result<()> {
        if text.len() < NAME_LIMIT {
            return Ok(());
        }
        let in_range = (0..=0o77_777_777_777).contains(&header.modified);
        let modified = if in_range { header.modified } else { 0 };
        let size = text.len() as u64 + 1;
        let extra = Header {
            name: b"././@LongLink",
            mode: DEFAULT_FILE_MODE,
            size,
            modified,
            kind,
            link: b"",
        };
        self.put(&extra.encode())?;
        self.put(text)?;
        self.put(&[0])?;
        self.pad()
    }

    /// Copies exactly `size` bytes; what the file has gained since then is left out.
    fn data(&mut self, mut from: File, size: u64, path: &Path, name: &[u8]) -> Result<()> {
        let mut left = size;
        while left > 0 {
            self.cancel.check()?;
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let got = match from.read(&mut self.buffer[..want]) {
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let message = format!("Error writing to tar file from: {}", path.display());
                    return Err(FileError::io_caused(message, FileError::stream(error)));
                }
            };
            if got == 0 {
                let name = String::from_utf8_lossy(name);
                let done = size - left;
                return Err(FileError::io(format!(
                    "entry '{name}' closed at '{done}' before the '{size}' bytes specified in the header were written"
                )));
            }
            self.out.write_all(&self.buffer[..got]).map_err(FileError::stream)?;
            self.written += got as u64;
            left -= got as u64;
        }
        self.pad()
    }
}

impl<W: Write> FileVisitor for TarWriter<W> {
    fn visit(&mut self, file: &Path, relative: &Path) -> Result<()> {
        let failed = |error| FileError::at(error, file);
        let metadata = fs::metadata(file).map_err(failed)?;
        let mut name = entry_name(relative);
        if metadata.is_dir() {
            name.push(b'/');
            let header = Header {
                name: &name,
                mode: metadata.mode() & 0o777,
                size: 0,
                modified: modified_seconds(&metadata),
                kind: kind::DIRECTORY,
                link: b"",
            };
            self.header(&header)?;
        } else {
            // Open before writing the header, so that an unreadable file leaves no half entry.
            let (from, metadata) = open_regular(file, metadata)?;
            let size = if from.is_some() { metadata.len() } else { 0 };
            let header = Header {
                name: &name,
                mode: metadata.mode() & 0o777,
                size,
                modified: modified_seconds(&metadata),
                kind: kind::FILE,
                link: b"",
            };
            self.header(&header)?;
            if let Some(from) = from {
                self.data(from, size, file, &name)?;
            }
        }
        self.count += 1;
        Ok(())
    }

    fn understands_symlinks(&self) -> bool {
        true
    }

    fn visit_symlink(&mut self, link: &Path, target: &Path, relative: &Path) -> Result<()> {
        // As in Java: the mode of what the link points to, and the time of archiving.
        let mode = fs::metadata(link).map_or(DEFAULT_FILE_MODE, |metadata| metadata.mode() & 0o777);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let header = Header {
            name: &entry_name(relative),
            mode,
            size: 0,
            modified: i64::try_from(now).unwrap_or(0),
            kind: kind::SYMLINK,
            link: target.as_os_str().as_bytes(),
        };
        self.header(&header)?;
        self.count += 1;
        Ok(())
    }
}

/// Opens a regular file, with the size it has once open. Pipes, sockets and devices have no contents to store and
/// are not opened: Java would wait for a writer forever.
fn open_regular(file: &Path, metadata: Metadata) -> Result<(Option<File>, Metadata)> {
    if !metadata.is_file() {
        return Ok((None, metadata));
    }
    let failed = |error| FileError::at(error, file);
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let from = OpenOptions::new().read(true).custom_flags(flags).open(file).map_err(failed)?;
    let metadata = from.metadata().map_err(failed)?;
    Ok((metadata.is_file().then_some(from), metadata))
}

/// Ant strips leading slashes from names.
fn entry_name(relative: &Path) -> Vec<u8> {
    let bytes = relative.as_os_str().as_bytes();
    let start = bytes.iter().position(|byte| *byte != b'/').unwrap_or(bytes.len());
    bytes[start..].to_vec()
}

/// Seconds as Java gets them: whole milliseconds, cut towards zero.
fn modified_seconds(metadata: &Metadata) -> i64 {
    let millis =
        metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    millis / 1000
}
