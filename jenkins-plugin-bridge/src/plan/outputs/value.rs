//! What a run checks of the values of outputs. The library step keeps the same rules
//! (`io.pilotfish.Outputs`).

use std::collections::BTreeMap;

use crate::catalog::model::{MAX_OUTPUTS, OutputPattern};
use crate::plan::{PlanInput, PlanOutput};
use crate::text::nearest_hint;

/// The most bytes of a value: a digest, a version, an address. Events of many stages must fit into
/// one request.
pub const MAX_VALUE: usize = 1024;
/// The most bytes of the file that steps write: all outputs, most of them written again.
pub const MAX_FILE: usize = 64 * 1024;
/// The most complaints in one message.
const COMPLAINTS: usize = 5;

/// Values by name.
pub type Values = BTreeMap<String, String>;

/// The outputs that the steps of a stage wrote: lines `name=value`, the last one of a name counts.
/// `is_complete` says that the stage succeeded, so that it must have written what is not optional.
///
/// # Errors
/// All that is wrong, in one line. No value is in it.
pub fn read(
    declared: &BTreeMap<String, PlanOutput>,
    file: &[u8],
    is_complete: bool,
) -> Result<Values, String> {
    if file.len() > MAX_FILE {
        return Err(format!(
            "PILOTFISH_OUTPUTS has over {MAX_FILE} bytes: outputs are short, files go to `archive`"
        ));
    }
    let mut values = Values::new();
    let mut wrong = Vec::new();
    let text = String::from_utf8_lossy(file);
    for (index, line) in text.split('\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        match line.split_once('=') {
            Some((name, value)) if declared.contains_key(name) => {
                values.insert(name.to_owned(), value.to_owned());
            }
            Some((name, _)) if is_shown(name) => {
                let hint = nearest_hint(name, declared.keys().map(String::as_str));
                wrong.push(format!("it declares no output `{name}`{hint}"));
            }
            _ => wrong.push(format!("line {} of PILOTFISH_OUTPUTS is no NAME=value", index + 1)),
        }
    }
    for (name, value) in &values {
        wrong.extend(fault(name, value, declared.get(name).and_then(|one| one.pattern.as_ref())));
    }
    if is_complete && wrong.is_empty() {
        let missing = declared
            .iter()
            .filter(|(name, one)| !one.optional && !values.contains_key(name.as_str()));
        wrong.extend(missing.map(|(name, _)| format!("it did not write its output `{name}`")));
    }
    together(wrong).map(|()| values)
}

/// Whether outputs that were reported are ones that the stage may have.
///
/// # Errors
/// What is wrong.
pub fn check(declared: &BTreeMap<String, PlanOutput>, given: &Values) -> Result<(), String> {
    if given.len() > MAX_OUTPUTS {
        return Err(format!("a stage has at most {MAX_OUTPUTS} outputs"));
    }
    let wrong = given.iter().filter_map(|(name, value)| match declared.get(name) {
        Some(one) => fault(name, value, one.pattern.as_ref()),
        None if is_shown(name) => Some(format!("the stage declares no output `{name}`")),
        None => Some("the stage declares no output of this name".to_owned()),
    });
    together(wrong.collect())
}

/// Whether a stage may take a value.
///
/// # Errors
/// What is wrong, without the value.
pub fn check_input(variable: &str, input: &PlanInput, value: &str) -> Result<(), String> {
    let whose = format!("the output `{}` of `{}`", input.output, input.stage);
    if value.starts_with('-') && !input.dashes {
        return Err(format!("{variable} takes no value that starts with `-`, as {whose} does"));
    }
    match fault(variable, value, input.pattern.as_ref()) {
        Some(fault) => Err(format!("{whose} is refused: {fault}")),
        None => Ok(()),
    }
}

fn together(mut wrong: Vec<String>) -> Result<(), String> {
    let more = wrong.len().saturating_sub(COMPLAINTS);
    wrong.truncate(COMPLAINTS);
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Whether a name may stand in a message: what is none may be a part of a secret.
fn is_shown(name: &str) -> bool {
    crate::catalog::model::OutputName::new(name).is_ok()
}

fn fault(name: &str, value: &str, pattern: Option<&OutputPattern>) -> Option<String> {
    if value.len() > MAX_VALUE {
        return Some(format!("`{name}` has over {MAX_VALUE} bytes"));
    }
    if value.contains(|one: char| one.is_control() || one == char::REPLACEMENT_CHARACTER) {
        return Some(format!("`{name}` has a control character, or is not UTF-8"));
    }
    let pattern = pattern.filter(|pattern| !pattern.matches(value))?;
    Some(format!("`{name}` does not match `{pattern}`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn declared() -> BTreeMap<String, PlanOutput> {
        let digest = OutputPattern::new("^sha256:[0-9a-f]{4}$").ok();
        BTreeMap::from([
            ("digest".to_owned(), PlanOutput { pattern: digest, optional: false }),
            ("note".to_owned(), PlanOutput { pattern: None, optional: true }),
        ])
    }

    fn values(all: &[(&str, &str)]) -> Values {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lines_are_outputs_and_the_last_one_counts() {
        let read = |text: &str| read(&declared(), text.as_bytes(), true);
        assert_eq!(read("digest=sha256:0a1b\n"), Ok(values(&[("digest", "sha256:0a1b")])));
        assert_eq!(
            read("digest=x\n\nnote= $(id) = \"'\ndigest=sha256:ffff"),
            Ok(values(&[("digest", "sha256:ffff"), ("note", " $(id) = \"'")]))
        );
        for (text, why) in [
            ("", "did not write its output `digest`"),
            ("digest=sha256:xxxx", "`digest` does not match `^sha256:[0-9a-f]{4}$`"),
            ("digest=sha256:0a1b\ndigset=1", "no output `digset`; did you mean `digest`"),
            ("digest=sha256:0a1b\nwhat", "line 2 of PILOTFISH_OUTPUTS is no NAME=value"),
            ("digest=sha256:0a1b\r\n", "control character"),
            ("digest=sha256:0a1b\nnote=a\0b", "control character"),
            ("digest=sha256:0a1b\nnote=\u{85}", "control character"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        let long = format!("digest=sha256:0a1b\nnote={}", "x".repeat(MAX_VALUE + 1));
        assert!(read(&long).unwrap_err().contains("over 1024 bytes"));
        assert!(
            read(&"digest=sha256:0a1b\n".repeat(4000))
                .unwrap_err()
                .contains("PILOTFISH_OUTPUTS has over")
        );
        let not_text = super::read(&declared(), b"digest=sha256:0a1b\nnote=\xff", true);
        assert!(not_text.unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn a_stage_that_failed_may_have_written_less_and_a_message_has_no_value() {
        assert_eq!(read(&declared(), b"note=1", false), Ok(values(&[("note", "1")])));
        let error = read(&declared(), b"hunter2 is=the password\ndigest=hunter2", true);
        assert!(!error.unwrap_err().contains("hunter2"));
        let many = "a\n".repeat(100);
        let error = read(&declared(), many.as_bytes(), true).unwrap_err();
        assert!(error.ends_with("and 95 more") && error.len() < 500, "{error}");
    }

    #[test]
    fn an_input_keeps_the_rules_of_its_parameter() {
        let input = PlanInput {
            stage: "image".into(),
            output: "digest".into(),
            pattern: OutputPattern::new("^(sha256:[0-9a-f]+)?$").ok(),
            dashes: false,
            required: false,
        };
        assert_eq!(check_input("IMAGE_DIGEST", &input, "sha256:0a"), Ok(()));
        let error = check_input("IMAGE_DIGEST", &input, "latest").unwrap_err();
        assert!(error.contains("the output `digest` of `image` is refused"), "{error}");
        let free = PlanInput { pattern: None, ..input };
        assert!(
            check_input("X", &free, "--config=/etc/passwd")
                .unwrap_err()
                .contains("starts with `-`")
        );
        assert_eq!(check_input("X", &PlanInput { dashes: true, ..free }, "-v"), Ok(()));
    }

    proptest! {
        /// Whatever steps write: what is read is declared, short, one line, and is read again the same.
        #[test]
        fn what_is_read_keeps_the_rules(file in proptest::collection::vec(any::<u8>(), 0..200), more in "(digest|note|x)=(sha256:)?[0-9a-f$=\\r\\t]{0,6}\n{0,2}") {
            let mut file = file;
            file.extend(more.bytes());
            if let Ok(values) = read(&declared(), &file, false) {
                prop_assert!(check(&declared(), &values).is_ok());
                prop_assert!(values.values().all(|one| one.len() <= MAX_VALUE && !one.contains(['\n', '\0'])));
                let again: String = values.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
                prop_assert_eq!(read(&declared(), again.as_bytes(), false), Ok(values));
            }
        }
    }
}
