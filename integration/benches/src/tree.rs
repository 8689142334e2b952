//! A directory like a build's: text that compresses well and binaries that do not, the same each time.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::Failed;

/// How many words and lines the text is made of. It compresses about as well as source code does.
const WORDS: u64 = 4096;
const LINES: u64 = 256;

/// xorshift64*: data need no better numbers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from((self.next() >> 33) % bound).unwrap_or(0)
    }
}

/// Fills `dir` with about `bytes` in files of 1 KiB to 8 MiB: two thirds text, one third binary.
/// Returns the number of files.
pub fn plant(dir: &Path, bytes: u64) -> Result<usize, Failed> {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let mut text = Text::new(Numbers(3));
    let (mut left, mut count) = (bytes, 0);
    while left > 0 {
        let size = (1024_u64 << numbers.below(14)).min(left);
        let folder = dir.join(format!("module-{:02}/src", count % 23));
        fs::create_dir_all(&folder)?;
        let is_text = count % 3 != 2;
        let name = if is_text { format!("file-{count}.txt") } else { format!("file-{count}.bin") };
        let mut out = BufWriter::new(fs::File::create(folder.join(name))?);
        if is_text {
            text.write(&mut out, size)?
        } else {
            write_noise(&mut out, &mut numbers, size)?
        }
        out.flush()?;
        left -= size;
        count += 1;
    }
    Ok(count)
}

/// A file of `bytes` of lines like a build's log.
pub fn log(path: &Path, bytes: u64) -> Result<(), Failed> {
    let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    Text::new(Numbers(7)).write(&mut out, bytes)?;
    Ok(out.flush()?)
}

/// Lines of which many were there before, like a log's or a program's.
struct Text {
    numbers: Numbers,
    words: Vec<String>,
    lines: Vec<String>,
}

impl Text {
    fn new(mut numbers: Numbers) -> Self {
        let letters = b"etaoinshrdlucmfwyp";
        let word = |numbers: &mut Numbers| -> String {
            let length = 3 + numbers.below(9);
            (0..length).map(|_| char::from(letters[numbers.below(letters.len() as u64)])).collect()
        };
        let words = (0..WORDS).map(|_| word(&mut numbers)).collect();
        let mut text = Self { numbers, words, lines: Vec::new() };
        text.lines = (0..LINES).map(|_| text.line()).collect();
        text
    }

    fn line(&mut self) -> String {
        let mut line = "[INFO] ".to_owned();
        for _ in 0..4 + self.numbers.below(9) {
            line.push_str(&self.words[self.numbers.below(WORDS)]);
            line.push(' ');
        }
        line.push_str(&format!("{:x}\n", self.numbers.next() & 0xFF_FFFF));
        line
    }

    fn write(&mut self, out: &mut impl Write, size: u64) -> Result<(), Failed> {
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let fresh = (self.numbers.below(10) < 3).then(|| self.line());
            let again = self.numbers.below(LINES);
            let line = fresh.as_ref().unwrap_or(&self.lines[again]).as_bytes();
            let part = line.get(..left).unwrap_or(line);
            out.write_all(part)?;
            left -= part.len();
        }
        Ok(())
    }
}

/// Bytes that do not compress, as in archives.
fn write_noise(out: &mut impl Write, numbers: &mut Numbers, size: u64) -> Result<(), Failed> {
    let mut left = usize::try_from(size).unwrap_or(usize::MAX);
    while left > 0 {
        let bytes = numbers.next().to_le_bytes();
        let part = bytes.get(..left).unwrap_or(&bytes);
        out.write_all(part)?;
        left -= part.len();
    }
    Ok(())
}
