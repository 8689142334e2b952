//! Why a file mask matches nothing, in the words of `hudson.FilePath#validateAntFileMask`.

use std::path::Path;
use std::time::Duration;

use super::Pattern;
use super::walk::{Bound, DirectoryScanner};
use crate::files::{Cancel, Result};

/// Java: `FilePath.VALIDATE_ANT_FILE_MASK_BOUND`.
pub const VALIDATE_BOUND: u64 = 10_000;

/// The time after which a bounded look gives up, as in Java.
const TIME: Duration = Duration::from_secs(5);

/// Checks each comma-separated mask against `dir` and explains the first that matches nothing; `None` if all match.
///
/// `bound` is the number of negative operations per look (Java passes [`VALIDATE_BOUND`]; `i32::MAX` means no bound).
///
/// # Errors
/// [`crate::files::JavaClass::NoMatchesWithinBound`] when the bound or five seconds are used up without an answer;
/// a missing `dir`; cancellation.
pub fn validate_ant_file_mask(
    dir: &Path,
    masks: &str,
    bound: u64,
    case_sensitive: bool,
    cancel: &Cancel,
) -> Result<Option<String>> {
    if masks.starts_with('~') {
        return Ok(Some("‘~’ is only supported in a Unix shell and nowhere else.".to_owned()));
    }
    let bound = if bound >= i32::MAX.unsigned_abs().into() {
        Bound { operations: u64::MAX, time: Duration::MAX }
    } else {
        Bound { operations: bound, time: TIME }
    };
    let look = Look { dir, bound, case_sensitive, cancel };
    for mask in masks.split(',').filter(|mask| !mask.is_empty()) {
        let mask = mask.trim_matches(|c: char| c <= ' ');
        if !look.matches(mask)? {
            return look.explain(mask).map(Some);
        }
    }
    Ok(None)
}

struct Look<'a> {
    dir: &'a Path,
    bound: Bound,
    case_sensitive: bool,
    cancel: &'a Cancel,
}

impl Look<'_> {
    fn matches(&self, mask: &str) -> Result<bool> {
        self.matches_in_case(mask, self.case_sensitive)
    }

    fn matches_in_case(&self, mask: &str, case_sensitive: bool) -> Result<bool> {
        let set = DirectoryScanner::from_patterns(
            vec![Pattern::parse(mask)],
            Vec::new(),
            case_sensitive,
            true,
        );
        set.has_match(self.dir, self.cancel, self.bound)
    }

    fn explain(&self, mask: &str) -> Result<String> {
        if self.case_sensitive && self.matches_in_case(mask, false)? {
            return Ok(format!(
                "‘{mask}’ doesn’t match anything because it is treated case sensitively. \
                 You can deactivate case sensitivity to get matches"
            ));
        }
        if mask.contains(' ') {
            let mut all = true;
            for token in
                mask.split([' ', '\t', '\n', '\r', '\x0c']).filter(|token| !token.is_empty())
            {
                all &= self.matches(token)?;
            }
            if all {
                return Ok("Whitespace can no longer be used as the separator. \
                           Please Use ‘,’ as the separator instead."
                    .to_owned());
            }
        }
        if let Some(better) = self.other_base(mask)? {
            return Ok(format!(
                "‘{mask}’ doesn’t match anything, but ‘{better}’ does. Perhaps that’s what you mean?"
            ));
        }
        self.longest_match(mask)
    }

    /// The mask with too many or too few leading directories.
    fn other_base(&self, mask: &str) -> Result<Option<String>> {
        let mut rest = mask;
        while let Some(at) = separator(rest) {
            rest = &rest[at + 1..];
            if self.matches(rest)? {
                return Ok(Some(rest.to_owned()));
            }
        }
        let anywhere = format!("**/{mask}");
        let set = DirectoryScanner::new(Some(&anywhere), None, true, self.case_sensitive, true);
        let files = set.scan(self.dir, self.cancel)?.files;
        let mut names: Vec<String> =
            files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        names.sort_by_key(|name| name.encode_utf16().count());
        for name in names {
            let mut prefix = String::new();
            let mut rest = name.as_str();
            while let Some(at) = separator(rest) {
                prefix.push_str(&rest[..at]);
                prefix.push('/');
                rest = &rest[at + 1..];
                let candidate = format!("{prefix}{mask}");
                if self.matches(&candidate)? {
                    return Ok(Some(candidate));
                }
            }
        }
        Ok(None)
    }

    /// How much of the mask, from its start, matches something. Java cuts at the first separator, so in a mask of
    /// three parts and more the middle ones are never tried; the texts depend on it.
    fn longest_match(&self, mask: &str) -> Result<String> {
        let mut previous: Option<&str> = None;
        let mut part = mask;
        loop {
            if self.matches(part)? {
                return Ok(match previous {
                    None => format!("‘{mask}’ doesn’t match anything, although ‘{part}’ exists"),
                    Some(previous) => {
                        format!(
                            "‘{mask}’ doesn’t match anything: ‘{part}’ exists but not ‘{previous}’"
                        )
                    }
                });
            }
            match separator(part) {
                Some(at) => {
                    previous = Some(part);
                    part = &part[..at];
                }
                None if part == mask => return Ok(format!("‘{mask}’ doesn’t match anything")),
                None => {
                    return Ok(format!(
                        "‘{mask}’ doesn’t match anything: even ‘{part}’ doesn’t exist"
                    ));
                }
            }
        }
    }
}

/// Position of the first path separator of either kind.
fn separator(mask: &str) -> Option<usize> {
    mask.find(['/', '\\'])
}
