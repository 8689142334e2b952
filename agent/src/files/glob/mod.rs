//! Ant file sets: which files of a directory a list of patterns selects, and what is wrong when it selects none.

mod pattern;
mod validate;
mod walk;

#[cfg(test)]
mod tests;

pub use pattern::Pattern;
pub use validate::{VALIDATE_BOUND, validate_ant_file_mask};
pub use walk::{DirectoryScanner, ScanResult};

/// Ant's default excludes (`DirectoryScanner.DEFAULTEXCLUDES`, 1.10).
pub const DEFAULT_EXCLUDES: &[&str] = &[
    "**/*~",
    "**/#*#",
    "**/.#*",
    "**/%*%",
    "**/._*",
    "**/CVS",
    "**/CVS/**",
    "**/.cvsignore",
    "**/SCCS",
    "**/SCCS/**",
    "**/vssver.scc",
    "**/.svn",
    "**/.svn/**",
    "**/.git",
    "**/.git/**",
    "**/.gitattributes",
    "**/.gitignore",
    "**/.gitmodules",
    "**/.hg",
    "**/.hg/**",
    "**/.hgignore",
    "**/.hgsub",
    "**/.hgsubstate",
    "**/.hgtags",
    "**/.bzr",
    "**/.bzr/**",
    "**/.bzrignore",
    "**/.DS_Store",
];

/// Splits a list of patterns as `hudson.Util#createFileSet` does: at commas only, each part trimmed.
///
/// `None` means that no pattern was given at all, which Ant reads as "everything" for includes. A list of blanks
/// (`" "`) gives an empty list instead, which selects nothing.
#[must_use]
pub fn split_masks(list: &str) -> Option<Vec<String>> {
    let given: Vec<&str> = list.split(',').filter(|token| !token.is_empty()).collect();
    if given.is_empty() {
        return None;
    }
    // Java trims every character up to the blank, so Unicode spaces stay.
    let trim = |token: &str| token.trim_matches(|c: char| c <= ' ').to_owned();
    Some(given.into_iter().map(trim).filter(|token| !token.is_empty()).collect())
}
