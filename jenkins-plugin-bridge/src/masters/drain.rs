//! Masters that an operator has taken out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most characters of a reason.
pub const REASON: usize = 500;

/// A master gets no new builds because somebody wants it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drain {
    /// Who wants it.
    pub who: String,
    /// Why, in their words.
    pub reason: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

impl Drain {
    /// A reason as it may be kept: one line.
    ///
    /// # Errors
    /// What is expected.
    pub fn checked(reason: &str) -> Result<&str, String> {
        let reason = reason.trim();
        let is_good = !reason.is_empty()
            && reason.chars().count() <= REASON
            && !reason.chars().any(char::is_control);
        if is_good {
            return Ok(reason);
        }
        Err(format!("say why, on one line of at most {REASON} characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(Drain::checked("  new disks "), Ok("new disks"));
        for bad in [" ", "a\nb", &"x".repeat(501)] {
            assert!(Drain::checked(bad).is_err(), "{bad:?}");
        }
    }
}
