//! Writes zip streams as Jenkins' `ZipArchiver` does: modes kept, links followed, an optional prefix.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use time::OffsetDateTime;
use zip::write::{FullFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::links::LinkCheck;
use super::scanner::{Checked, DirScanner, FileVisitor};
use super::{BUFFER, Cancel, FileError, Result};

/// Files from this size on get 64-bit sizes. A little below 4 GiB, as deflated data may be longer than the file.
const LARGE: u64 = 0xffff_ffff - (1 << 24);

/// Id of the Info-ZIP "extended timestamp" field: UTC seconds, free of the zone that DOS times are read in.
const EXTENDED_TIMESTAMP: u16 = 0x5455;

/// Writes what `scanner` finds in `dir` to `out`, which need not be seekable; returns the number of entries.
///
/// `prefix` goes before every name, with a slash at its end; blank means none. `open` is how file contents are opened
/// (the factory's own open options), `check` what the archive request forbids.
///
/// # Errors
/// A file that cannot be read, a name used twice, errors of `out`; cancellation.
pub fn write_zip<W: Write>(
    dir: &Path,
    scanner: &DirScanner,
    check: &LinkCheck,
    open: &LinkCheck,
    prefix: Option<&str>,
    out: W,
    cancel: &Cancel,
) -> Result<u32> {
    let mut prefix =
        prefix.filter(|prefix| !prefix.trim().is_empty()).unwrap_or_default().to_owned();
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    let zip = ZipWriter::new_stream(io::BufWriter::with_capacity(BUFFER, out));
    let mut writer = Writer { zip, prefix, open, cancel, buffer: vec![0; BUFFER], count: 0 };
    if check.is_active() {
        scanner.scan(dir, &mut Checked::new(&mut writer, check), cancel)?;
    } else {
        scanner.scan(dir, &mut writer, cancel)?;
    }
    let count = writer.count;
    let mut out = writer.zip.finish().map_err(zip_failed)?;
    out.flush().map_err(FileError::stream)?;
    Ok(count)
}

struct Writer<'a, W: Write> {
    zip: ZipWriter<StreamWriter<io::BufWriter<W>>>,
    prefix: String,
    open: &'a LinkCheck,
    cancel: &'a Cancel,
    buffer: Vec<u8>,
    count: u32,
}

impl<W: Write> FileVisitor for Writer<'_, W> {
    fn visit(&mut self, file: &Path, relative: &Path) -> Result<()> {
        let metadata = fs::metadata(file).map_err(|error| FileError::at(error, file))?;
        let name = format!("{}{}", self.prefix, relative.to_string_lossy().replace('\\', "/"));
        let options = options(&metadata)?;
        if metadata.is_dir() {
            self.zip.add_directory(name, options).map_err(zip_failed)?;
        } else {
            let from = if metadata.is_file() { Some(self.open_file(file)?) } else { None };
            self.zip.start_file(name, options).map_err(zip_failed)?;
            if let Some(from) = from {
                self.data(from)?;
            }
        }
        self.count += 1;
        Ok(())
    }
}

impl<W: Write> Writer<'_, W> {
    /// The root was checked when the file was chosen; what is left of the options is how to open.
    fn open_file(&self, file: &Path) -> Result<File> {
        LinkCheck { no_follow_links: self.open.no_follow_links, ..LinkCheck::default() }.open(file)
    }

    fn data(&mut self, mut from: File) -> Result<()> {
        loop {
            self.cancel.check()?;
            let got = match from.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(FileError::stream(error)),
            };
            self.zip.write_all(&self.buffer[..got]).map_err(FileError::stream)?;
        }
    }
}

fn options(metadata: &Metadata) -> Result<FullFileOptions<'static, 'static>> {
    let seconds = metadata.mtime();
    let mut options = FullFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(metadata.mode() & 0o777)
        .last_modified_time(dos_time(seconds))
        .large_file(metadata.len() >= LARGE);
    if let Ok(seconds) = u32::try_from(seconds) {
        let mut field = vec![1];
        field.extend_from_slice(&seconds.to_le_bytes());
        options.add_extra_field(EXTENDED_TIMESTAMP, field, false).map_err(zip_failed)?;
    }
    Ok(options)
}

/// The UTC time in steps of two seconds; 1980 for what the format cannot express.
fn dos_time(seconds: i64) -> DateTime {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| {
            let year = u16::try_from(time.year()).ok()?;
            DateTime::from_date_and_time(
                year,
                u8::from(time.month()),
                time.day(),
                time.hour(),
                time.minute(),
                time.second(),
            )
            .ok()
        })
        .unwrap_or_default()
}

pub(super) fn zip_failed(error: zip::result::ZipError) -> FileError {
    match error {
        zip::result::ZipError::Io(error) => FileError::stream(error),
        other => FileError::new(super::JavaClass::Zip, other.to_string()),
    }
}
