//! What happens to each line of a log on its way to the controller.
//!
//! Java's decorators each gather whole lines (`LineTransformationOutputStream`), so they can share one
//! buffer here.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::mask::Masker;

/// What one decorator does to a line.
pub(super) enum Transform {
    /// Replaces secrets (`BindingStep$Filter`).
    Mask(Masker),
    /// Puts the time before the line (`GlobalDecorator` of the timestamper).
    Timestamp,
}

/// The decorators of a log, in the order in which bytes pass them.
pub(super) struct Decorators {
    transforms: Vec<Transform>,
    line: Vec<u8>,
    /// The beginning of the line went out already: it was too long to be gathered.
    inside_line: bool,
}

/// The longest line that is gathered as a whole. Of a longer one the part that cannot hold the
/// beginning of a secret any more goes out.
const MAX_LINE: usize = 1 << 20;

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[[[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z] ");

impl Decorators {
    pub(super) fn new(transforms: Vec<Transform>) -> Self {
        Self { transforms, line: Vec::new(), inside_line: false }
    }

    /// Bytes taken and not yet given out.
    pub(super) fn held(&self) -> usize {
        self.line.len()
    }

    /// What of the log so far may go out.
    pub(super) fn decorate(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.transforms.is_empty() {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.emit(line, &mut out);
                self.inside_line = false;
            } else if self.line.len() > MAX_LINE {
                let begin = self.line.len() - self.reach();
                let begin = self.unmatched_before(begin);
                let rest = self.line.split_off(begin);
                let begin = std::mem::replace(&mut self.line, rest);
                self.emit(begin, &mut out);
                self.inside_line = true;
            }
        }
        out
    }

    /// The unfinished line at the end of the log.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.emit(line, &mut out);
        }
        out
    }

    fn emit(&self, mut line: Vec<u8>, out: &mut Vec<u8>) {
        for transform in &self.transforms {
            match transform {
                Transform::Mask(masker) => line = masker.mask(&line),
                Transform::Timestamp if self.inside_line => {}
                Transform::Timestamp => {
                    let now = OffsetDateTime::now_utc().format(&TIMESTAMP).unwrap_or_default();
                    line.splice(..0, now.into_bytes());
                }
            }
        }
        out.append(&mut line);
    }

    /// How many bytes at the end of a part may be the beginning of a secret.
    fn reach(&self) -> usize {
        let longest = self.transforms.iter().map(|transform| match transform {
            Transform::Mask(masker) => masker.longest(),
            Transform::Timestamp => 0,
        });
        longest.max().unwrap_or(0).min(self.line.len())
    }

    /// The last place at or before `cut` at which no secret is cut in two.
    fn unmatched_before(&self, cut: usize) -> usize {
        let mut cut = cut;
        // Each step moves before a match, so it ends; one round a masker is enough for most lines.
        while let Some(start) = self.transforms.iter().find_map(|transform| match transform {
            Transform::Mask(masker) => masker.match_across(&self.line, cut),
            Transform::Timestamp => None,
        }) {
            cut = start;
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masking(pattern: &str) -> Decorators {
        Decorators::new(vec![Transform::Mask(Masker::parse(pattern, "UTF-8").unwrap())])
    }

    #[test]
    fn without_decorators_bytes_pass_as_they_are() {
        let mut none = Decorators::new(Vec::new());
        assert_eq!(none.decorate(b"half a li"), b"half a li");
        assert_eq!((none.held(), none.finish()), (0, Vec::new()));
    }

    #[test]
    fn a_secret_that_arrives_in_parts_is_masked() {
        let mut log = masking("\\Qs3cr3t\\E");
        assert_eq!(log.decorate(b"it is s3c"), b"");
        assert_eq!(log.held(), 9);
        assert_eq!(log.decorate(b"r3t\nand"), b"it is ****\n");
        assert_eq!(log.finish(), b"and");
    }

    #[test]
    fn a_line_without_end_goes_out_in_parts_and_stays_masked() {
        let mut log = masking("\\Qs3cr3t\\E");
        let mut out = Vec::new();
        let mut input = Vec::new();
        while input.len() < 3 * MAX_LINE {
            input.extend_from_slice(b"abc s3cr3t ");
        }
        for part in input.chunks(1000) {
            out.append(&mut log.decorate(part));
            assert!(log.held() <= MAX_LINE + 1000);
        }
        out.append(&mut log.finish());
        assert_eq!(out, masking("\\Qs3cr3t\\E").transforms_once(&input));
        assert!(!out.windows(6).any(|window| window == b"s3cr3t"));
    }

    #[test]
    fn each_line_gets_the_time_once() {
        let mut log = Decorators::new(vec![Transform::Timestamp]);
        let out = String::from_utf8(log.decorate(b"one\ntwo\n")).unwrap();
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines.len(), 2);
        for (line, text) in lines.iter().zip(["one", "two"]) {
            let (stamp, rest) = line.split_at("[2026-11-22T18:20:00.591Z] ".len());
            assert!(stamp.starts_with("[20") && stamp.ends_with("Z] "), "{stamp}");
            assert_eq!(rest, text);
        }
    }

    impl Decorators {
        fn transforms_once(&self, line: &[u8]) -> Vec<u8> {
            let mut out = Vec::new();
            self.emit(line.to_vec(), &mut out);
            out
        }
    }
}
