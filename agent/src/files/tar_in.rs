//! Unpacks tar streams, as `hudson.FilePath#readFromTar` does on Ant's `TarInputStream`, but never outside the
//! target directory. GNU long names and PAX headers are understood; memory stays bounded whatever a stream says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::safe_dir::{LinkPolicy, Refused, SafeDir, components, finish_file, write_failed};
use super::tar_header::{RECORD, kind, parse_name, parse_number};
use super::{BUFFER, Cancel, Compression, FileError, JavaClass, Result};

/// Longest name or block of PAX attributes accepted, in bytes.
const META_LIMIT: u64 = 1 << 20;

/// Bytes read after the end of the archive, to see the end of the stream.
const DRAIN_LIMIT: u64 = 64 << 20;

/// Unpacks `stream` into `dir`, which is created if needed, and returns the number of entries.
///
/// `name` is what messages call the archive. Existing files are emptied and rewritten; directories get no mode
/// or time, as in Java.
///
/// # Errors
/// `Not in GZIP format` and an empty gzip stream come as they are; everything else as
/// `Failed to extract <name>` with a cause. Entries unpacked until then stay.
pub fn extract_tar<R: Read>(
    stream: R,
    dir: &Path,
    name: &str,
    compression: Compression,
    links: LinkPolicy,
    cancel: &Cancel,
) -> Result<u64> {
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    let target = SafeDir::new(dir, links);
    let wrap = |result: Result<u64>| result.map_err(|error| failed(name, error));
    match compression {
        Compression::None => wrap(Extraction { tar: stream, target, name, cancel, count: 0 }.run()),
        Compression::Gzip => {
            check_gzip(&mut stream)?;
            let tar = BufReader::with_capacity(BUFFER, MultiGzDecoder::new(stream));
            wrap(Extraction { tar, target, name, cancel, count: 0 }.run())
        }
    }
}

fn failed(name: &str, error: FileError) -> FileError {
    if error.is_cancelled() {
        error
    } else {
        FileError::io_caused(format!("Failed to extract {name}"), error)
    }
}

/// The checks of the `GZIPInputStream` constructor.
fn check_gzip(stream: &mut impl BufRead) -> Result<()> {
    let start = loop {
        match stream.fill_buf() {
            Ok(bytes) => break bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::stream(error)),
        }
    };
    match start {
        [] | [_] => Err(FileError::new(JavaClass::Eof, "the gzip stream ends in its header")),
        [0x1f, 0x8b, ..] => Ok(()),
        _ => Err(FileError::new(JavaClass::Zip, "Not in GZIP format")),
    }
}

/// An entry with everything that the headers before it said.
struct Entry {
    name: Vec<u8>,
    link: Vec<u8>,
    kind: u8,
    mode: u32,
    size: u64,
    modified: i64,
}

/// What extra headers say about the entry that follows.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    modified: Option<i64>,
    sparse: bool,
}

struct Extraction<'a, B> {
    tar: B,
    target: SafeDir,
    name: &'a str,
    cancel: &'a Cancel,
    count: u64,
}

impl<B: BufRead> Extraction<'_, B> {
    fn run(mut self) -> Result<u64> {
        while let Some(entry) = self.next()? {
            self.cancel.check()?;
            self.unpack(&entry)?;
            self.count += 1;
        }
        // Let the sender get rid of its padding; what is wrong there does no harm any more.
        let _ = io::copy(&mut (&mut self.tar).take(DRAIN_LIMIT), &mut io::sink());
        Ok(self.count)
    }

    fn unpack(&mut self, entry: &Entry) -> Result<()> {
        let shown = String::from_utf8_lossy(&entry.name).into_owned();
        let escapes = || {
            FileError::io(format!(
                "Tar {} contains entry that escapes destination directory: {shown}",
                self.name
            ))
        };
        let directory = entry.kind == kind::DIRECTORY || entry.name.ends_with(b"/");
        if entry.name.contains(&0) {
            return Err(FileError::io(format!(
                "Tar {} contains an entry name with a NUL: {shown}",
                self.name
            )));
        }
        let parts = components(&entry.name).ok_or_else(escapes)?;
        if parts.is_empty() {
            if directory {
                return self.skip(entry.size);
            }
            let message = format!(
                "Tar {} contains non-directory entry that resolves to base directory: {shown}",
                self.name
            );
            return Err(FileError::io(message));
        }
        if directory {
            self.target.make_dir(&parts).map_err(|refused| refusal(refused, self.name, &shown))?;
            return self.skip(entry.size);
        }
        match entry.kind {
            kind::SYMLINK => {
                self.target
                    .make_symlink(&parts, &entry.link)
                    .map_err(|refused| refusal(refused, self.name, &shown))?;
                self.skip(entry.size)
            }
            kind::HARD_LINK => {
                let target = components(&entry.link)
                    .filter(|target| !target.is_empty())
                    .ok_or_else(escapes)?;
                self.target
                    .make_hard_link(&parts, &target)
                    .map_err(|refused| refusal(refused, self.name, &shown))?;
                self.skip(entry.size)
            }
            kind::SPARSE => Err(FileError::io(format!(
                "Tar {} contains a sparse file, which is not supported: {shown}",
                self.name
            ))),
            _ => self.unpack_file(entry, &parts, &shown),
        }
    }

    fn unpack_file(&mut self, entry: &Entry, parts: &[&[u8]], shown: &str) -> Result<()> {
        let path = self.target.path(parts);
        let mut file =
            self.target.create_file(parts).map_err(|refused| refusal(refused, self.name, shown))?;
        self.data(entry.size, |bytes| {
            file.write_all(bytes).map_err(|error| write_failed(&error, &path))
        })?;
        self.pad(entry.size)?;
        finish_file(&file, &path, Some(entry.modified), entry.mode & 0o777)
    }

    /// The next real entry; `None` at the end of the archive or of the stream.
    fn next(&mut self) -> Result<Option<Entry>> {
        let mut ahead = Ahead::default();
        loop {
            self.cancel.check()?;
            let Some(record) = self.record()? else { return Ok(None) };
            let mut entry = parse(&record)?;
            match entry.kind {
                kind::LONG_NAME => ahead.name = Some(self.text(entry.size)?),
                kind::LONG_LINK => ahead.link = Some(self.text(entry.size)?),
                kind::PAX | kind::PAX_SOLARIS => {
                    let text = self.meta(entry.size)?;
                    pax(&text, &mut ahead)?;
                }
                kind::PAX_GLOBAL => self.skip(entry.size)?,
                _ => {
                    if ahead.sparse {
                        entry.kind = kind::SPARSE;
                    }
                    entry.name = ahead.name.unwrap_or(entry.name);
                    entry.link = ahead.link.unwrap_or(entry.link);
                    entry.size = ahead.size.unwrap_or(entry.size);
                    entry.modified = ahead.modified.unwrap_or(entry.modified);
                    if entry.kind == kind::DIRECTORY {
                        entry.size = 0;
                    }
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// One header record; a stream that ends within one is padded, as Ant does.
    fn record(&mut self) -> Result<Option<[u8; RECORD]>> {
        let mut record = [0; RECORD];
        let mut filled = 0;
        while filled < RECORD {
            match self.tar.read(&mut record[filled..]) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::stream(error)),
            }
        }
        Ok(record.iter().any(|byte| *byte != 0).then_some(record))
    }

    fn text(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut text = self.meta(size)?;
        while text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn meta(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > META_LIMIT {
            let message = format!(
                "Tar {} has a name or attribute of {size} bytes, more than the {META_LIMIT} allowed",
                self.name
            );
            return Err(FileError::io(message));
        }
        let mut text = Vec::new();
        self.data(size, |bytes| {
            text.extend_from_slice(bytes);
            Ok(())
        })?;
        self.pad(size)?;
        Ok(text)
    }

    fn skip(&mut self, size: u64) -> Result<()> {
        self.data(size, |_| Ok(()))?;
        self.pad(size)
    }

    /// Passes exactly `size` bytes on.
    fn data(&mut self, size: u64, mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = size;
        while left > 0 {
            self.cancel.check()?;
            let bytes = match self.tar.fill_buf() {
                Ok([]) => {
                    return Err(FileError::io(format!("unexpected EOF with {left} bytes unread")));
                }
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(FileError::stream(error)),
            };
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            put(&bytes[..take])?;
            self.tar.consume(take);
            left -= take as u64;
        }
        Ok(())
    }

    /// The rest of the last record; a stream that ends there is taken as complete.
    fn pad(&mut self, size: u64) -> Result<()> {
        let rest = size.div_ceil(RECORD as u64).saturating_mul(RECORD as u64).saturating_sub(size);
        let padding = io::copy(&mut (&mut self.tar).take(rest), &mut io::sink());
        padding.map(drop).map_err(FileError::stream)
    }
}

fn refusal(refused: Refused, name: &str, entry: &str) -> FileError {
    match refused {
        Refused::LinkInPath => FileError::io(format!(
            "Tar {name} attempts to write to file with symlink in path: {entry}"
        )),
        Refused::LinkInPlace(path) => {
            let path = path.display();
            FileError::io(format!(
                "Tar '{name}' entry '{entry}' would write through existing symlink: {path}"
            ))
        }
        Refused::Failed(error) => error,
    }
}

fn parse(record: &[u8; RECORD]) -> Result<Entry> {
    let bad = || FileError::io("Error detected parsing the header");
    let number = |from: usize, to: usize| parse_number(&record[from..to]).ok_or_else(bad);
    let mode = number(100, 108)?;
    let size = u64::try_from(number(124, 136)?).map_err(|_| bad())?;
    let modified = number(136, 148)?;
    let kind = record[156];
    let mut name = parse_name(&record[..100]).to_vec();
    let old_gnu = &record[257..263] == b"ustar ";
    if !old_gnu && &record[257..262] == b"ustar" {
        let prefix = parse_name(&record[345..500]);
        if !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
    }
    let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
    Ok(Entry { name, link: parse_name(&record[157..257]).to_vec(), kind, mode, size, modified })
}

/// Reads PAX attributes, `<length> <key>=<value>\n` each.
fn pax(mut text: &[u8], ahead: &mut Ahead) -> Result<()> {
    let bad = || {
        FileError::io("Failed to read Paxheader. Expected '<length> <key>=<value>' and a line feed")
    };
    while !text.is_empty() {
        let blank = text.iter().take(20).position(|byte| *byte == b' ').ok_or_else(bad)?;
        let length: usize = std::str::from_utf8(&text[..blank])
            .ok()
            .and_then(|n| n.parse().ok())
            .ok_or_else(bad)?;
        let record = text.get(blank + 1..length).ok_or_else(bad)?;
        text = &text[length..];
        let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        let number = || std::str::from_utf8(value).ok();
        match key {
            b"path" => ahead.name = Some(value.to_vec()),
            b"linkpath" => ahead.link = Some(value.to_vec()),
            b"size" => {
                ahead.size = Some(number().and_then(|text| text.parse().ok()).ok_or_else(bad)?)
            }
            b"mtime" => ahead.modified = Some(number().and_then(seconds).ok_or_else(bad)?),
            _ if key.starts_with(b"GNU.sparse.") => ahead.sparse = true,
            _ => {}
        }
    }
    Ok(())
}

/// Whole seconds of a decimal number, cut towards zero.
fn seconds(text: &str) -> Option<i64> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    whole.parse().ok()
}
