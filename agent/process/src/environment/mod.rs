//! The environment of a build: a map with case-insensitive, case-preserving names.
//!
//! The rules are those of Jenkins core, `hudson.EnvVars` (a `TreeMap` ordered by
//! `String.CASE_INSENSITIVE_ORDER`), because every variable a build sees goes through them.

mod expand;
mod inherited;
mod order;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use crate::ProcessError;

/// Largest text one macro expansion may give, in bytes.
///
/// Linux refuses a single variable or argument of more than 128 KiB; the margin leaves room for
/// intermediate texts and other platforms, while `A=$B$B`, `B=$C$C`, … cannot eat the memory.
pub const MAX_EXPANDED_BYTES: usize = 1024 * 1024;

/// Largest environment [`Environment::override_expanding_all`] builds, in bytes of names and values.
pub const MAX_ENVIRONMENT_BYTES: usize = 16 * 1024 * 1024;

/// Environment variables with the semantics of Jenkins' `EnvVars`.
///
/// Names compare without case and are kept in that order; the spelling of a name is that of its
/// first insertion: inserting `path` over `PATH` changes the value and keeps the name `PATH`, as a
/// Java `TreeMap` does.
///
/// Names and values are text. Bytes of the system environment that are not UTF-8 become U+FFFD,
/// as in a Java agent, whose build environment is made of `String`s too.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Folded name to the name as spelled and its value.
    variables: BTreeMap<String, (String, String)>,
}

impl Environment {
    /// No variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment this process was started with, as a Java agent sees its own.
    ///
    /// The only place of the crate that reads it. See [`from_system`](Self::from_system).
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::from_system(std::env::vars_os())
    }

    /// An environment from the variables of a process, in the order of its environment block.
    ///
    /// When several names differ only in case, one of them gives the name and another the value.
    /// Java copies a hash map into the case-insensitive map, so its choice follows the hash of the
    /// names; the same order is computed here.
    #[must_use]
    pub fn from_system(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::new();
        for (name, value) in inherited::in_java_order(variables) {
            environment.insert(name, value);
        }
        environment
    }

    /// Parses overrides of the form `NAME=value`, as a launch request carries them. The name ends
    /// at the first `=`.
    ///
    /// # Errors
    /// [`ProcessError::InvalidOverride`] if one has no `=`.
    pub fn from_overrides<S: AsRef<str>>(
        lines: impl IntoIterator<Item = S>,
    ) -> Result<Self, ProcessError> {
        let mut environment = Self::new();
        for (index, line) in lines.into_iter().enumerate() {
            let (name, value) =
                line.as_ref().split_once('=').ok_or(ProcessError::InvalidOverride { index })?;
            environment.insert(name, value);
        }
        Ok(environment)
    }

    /// Sets a variable. An existing one keeps the spelling of its name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        let value = value.into();
        self.variables
            .entry(fold(&name))
            .and_modify(|(_, old)| old.clone_from(&value))
            .or_insert((name, value));
    }

    /// Removes a variable, whatever the case of its name.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.variables.remove(&fold(name)).map(|(_, value)| value)
    }

    /// The value of a variable, whatever the case of its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(&fold(name)).map(|(_, value)| value.as_str())
    }

    /// Whether a variable is set, whatever the case of its name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.variables.contains_key(&fold(name))
    }

    /// Names and values, sorted by name without regard to case.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.variables.values().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The number of variables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Whether no variable is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// Bytes of all names and values together.
    fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Overrides one variable (Java: `EnvVars.override`).
    ///
    /// An empty value removes the variable. A name `A+B` puts the value and the path separator in
    /// front of the value of `A`. Macros are not expanded.
    pub fn override_one(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.remove(name);
            return;
        }
        match name.find('+').filter(|&plus| plus > 0) {
            Some(plus) => {
                let extended = &name[..plus];
                let joined = match self.get(extended) {
                    Some(old) => format!("{value}{PATH_SEPARATOR}{old}"),
                    None => value.to_owned(),
                };
                self.insert(extended, joined);
            }
            None => self.insert(name, value),
        }
    }

    /// Overrides all variables in their order, without expanding (Java: `EnvVars.overrideAll`).
    pub fn override_all(&mut self, overrides: &Self) {
        for (name, value) in overrides.iter() {
            self.override_one(name, value);
        }
    }

    /// Overrides all variables, expanding macros in their values against the variables set so far
    /// (Java: `EnvVars.overrideExpandingAll`).
    ///
    /// A variable comes after those its value refers to; `A+B` names come last. A cycle is cut at
    /// a variable that already has a value here, so that `PATH1=/x:$PATH`, `PATH=/y:$PATH1` extends
    /// the inherited `PATH`; without one, at the first variable of the cycle. Cuts are logged.
    ///
    /// # Errors
    /// [`ProcessError::ExpansionTooLarge`] if a value passes [`MAX_EXPANDED_BYTES`] or the whole
    /// passes [`MAX_ENVIRONMENT_BYTES`]. Some overrides have been applied then.
    pub fn override_expanding_all(&mut self, overrides: &Self) -> Result<(), ProcessError> {
        let mut size = self.size();
        for name in order::override_order(self, overrides) {
            let value = overrides.get(&name).unwrap_or_default();
            let expanded = expand::replace_macros(value, MAX_EXPANDED_BYTES, |name| self.get(name))
                .ok_or_else(|| ProcessError::ExpansionTooLarge {
                    what: format!("the environment variable {name}"),
                    limit: MAX_EXPANDED_BYTES,
                })?;
            // An upper bound is enough: what is replaced or removed is not taken off again.
            size = size.saturating_add(name.len() + expanded.len());
            if size > MAX_ENVIRONMENT_BYTES {
                return Err(ProcessError::ExpansionTooLarge {
                    what: "the environment of the process".into(),
                    limit: MAX_ENVIRONMENT_BYTES,
                });
            }
            self.override_one(&name, &expanded);
        }
        Ok(())
    }

    /// Expands `$NAME`, `${NAME}` and `$$` in a text (Java: `Util.replaceMacro`).
    ///
    /// A name is letters, digits and `_` of ASCII, in braces also `.`. Unknown variables are kept
    /// as they stand, values are not expanded again, `$$` gives `$`.
    ///
    /// # Errors
    /// [`ProcessError::ExpansionTooLarge`] if the result passes [`MAX_EXPANDED_BYTES`].
    pub fn expand(&self, text: &str) -> Result<String, ProcessError> {
        // A text that is already long may stay as it is: only growth is bounded.
        let limit = MAX_EXPANDED_BYTES.max(text.len());
        expand::replace_macros(text, limit, |name| self.get(name))
            .ok_or_else(|| ProcessError::ExpansionTooLarge { what: "an argument".into(), limit })
    }
}

/// Values are secrets more often than not: only names are shown.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut environment = Self::new();
        for (name, value) in variables {
            environment.insert(name, value);
        }
        environment
    }
}

const PATH_SEPARATOR: char = if cfg!(windows) { ';' } else { ':' };

/// The text by which `String.CASE_INSENSITIVE_ORDER` compares: every character in upper case, then
/// in lower case, one to one. Code points order as UTF-8 bytes do.
fn fold(name: &str) -> String {
    name.chars().map(fold_char).collect()
}

fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    // Java maps one character to one: where the full mapping gives several, upper case stays and
    // lower case is the first of them (only U+0130).
    let mut upper = c.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    };
    upper.to_lowercase().next().unwrap_or(upper)
}

#[cfg(test)]
mod tests;
