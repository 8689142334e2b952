//! The line a launcher prints before it runs a command.

/// What stands in the place of a masked argument.
const MASK: &str = "********";

/// The command as a Jenkins launcher prints it (Java: `Launcher.maskedPrintCommandLine`), without
/// the line end: `[directory] $ program "an argument"`.
///
/// * Of the directory only the last part is shown; a trailing separator leaves it empty.
/// * An argument with a space is put in `"`, or in `'` if it contains a `"`. Nothing is escaped:
///   the line is for people.
/// * An argument whose mask is set is shown as `********`; so is one that a given list of masks is
///   too short for, because it may be the secret.
///
/// The launcher prints the arguments as they were asked for, before macro expansion.
#[must_use]
pub fn format_command_line<S: AsRef<str>>(
    arguments: &[S],
    masks: Option<&[bool]>,
    directory: Option<&str>,
) -> String {
    let mut line = String::new();
    if let Some(directory) = directory {
        line.push('[');
        line.push_str(last_part(directory));
        line.push_str("] ");
    }
    line.push('$');
    for (index, argument) in arguments.iter().enumerate() {
        let masked = masks.is_some_and(|masks| masks.get(index).copied().unwrap_or(true));
        let shown = if masked { MASK } else { argument.as_ref() };
        line.push(' ');
        match (shown.contains(' '), shown.contains('"')) {
            (false, _) => line.push_str(shown),
            (true, false) => {
                line.push('"');
                line.push_str(shown);
                line.push('"');
            }
            (true, true) => {
                line.push('\'');
                line.push_str(shown);
                line.push('\'');
            }
        }
    }
    line
}

/// What `replaceFirst("^.+[/\\\\]", "")` leaves: the separator must have something before it, and
/// the dot stops at line ends.
fn last_part(directory: &str) -> &str {
    let line_end = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let searched = directory.find(line_end).map_or(directory, |end| &directory[..end]);
    match searched.rfind(['/', '\\']) {
        Some(separator) if separator > 0 => &directory[separator + 1..],
        _ => directory,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_the_line_of_a_recorded_freestyle_build() {
        let line = format_command_line(
            &["/bin/sh", "-xe", "/tmp/jenkins7167937381399594554.sh"],
            None,
            Some("/home/jenkins/agent/workspace/fs-agent-1"),
        );
        assert_eq!(line, "[fs-agent-1] $ /bin/sh -xe /tmp/jenkins7167937381399594554.sh");
    }

    #[test]
    fn quotes_only_arguments_with_a_space() {
        let line = format_command_line(
            &["a b", "say \"a b\"", "\"x\"", "tab\there", "", "line\nend"],
            None,
            None,
        );
        assert_eq!(line, "$ \"a b\" 'say \"a b\"' \"x\" tab\there  line\nend");
    }

    #[test]
    fn masks_what_is_masked_or_has_no_mask() {
        let arguments = ["login", "-p", "s3cret", "s4cret"];
        let line = format_command_line(&arguments, Some(&[false, false, true]), None);
        assert_eq!(line, "$ login -p ******** ********");
        assert_eq!(format_command_line(&arguments, None, None), "$ login -p s3cret s4cret");
    }

    #[test]
    fn shows_the_last_part_of_the_directory() {
        for (directory, shown) in [
            ("/a/b", "b"),
            ("/a", "/a"),
            ("/", "/"),
            ("/a/b/", ""),
            ("c:\\x\\y", "y"),
            ("a/b\nc/d", "b\nc/d"),
            ("ä/ö", "ö"),
            ("", ""),
        ] {
            let line = format_command_line(&["x"], None, Some(directory));
            assert_eq!(line, format!("[{shown}] $ x"), "for {directory:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_shows_a_masked_argument(
            arguments in prop::collection::vec("[ \"'$\\\\/a-z\n\u{85}ä]{0,12}", 0..6),
            directory in prop::option::of("[/\\\\ab\nä\u{2028}]{0,12}"),
        ) {
            let masks = vec![true; arguments.len()];
            let line = format_command_line(&arguments, Some(&masks), directory.as_deref());
            let shown = format!("${}", " ********".repeat(arguments.len()));
            prop_assert!(line.ends_with(&shown));
            let plain = format_command_line(&arguments, None, directory.as_deref());
            for argument in &arguments {
                prop_assert!(plain.contains(argument.as_str()));
            }
        }
    }
}
