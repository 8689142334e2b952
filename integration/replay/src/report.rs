//! What a replay found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::compare::Difference;
use crate::dump;

/// What came of one recording.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The recording.
    pub name: String,
    /// How many commands the controller sent.
    pub sent: usize,
    /// How many answers, calls, streams and ends of streams were compared.
    pub compared: usize,
    /// How many recorded commands were left out, by reason.
    pub omitted: BTreeMap<String, usize>,
    /// What was wrong.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
    /// The callables of `needs-jvm.txt` that were refused as documented.
    pub refused: Vec<String>,
}

/// One thing that was wrong.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// The recorded command's number, where there is one.
    pub number: Option<u32>,
    /// What it was about.
    pub title: String,
    /// How it differs.
    pub differences: Vec<Difference>,
    /// The recorded command as text.
    pub expected: Option<String>,
    /// This agent's command as text.
    pub actual: Option<String>,
}

impl Report {
    /// Whether nothing was wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }

    /// Notes something that is wrong by itself.
    pub fn fail(&mut self, number: Option<u32>, title: impl Into<String>) {
        self.failures.push(Failure { number, title: title.into(), ..Failure::default() });
    }

    /// Notes the result of a comparison.
    pub fn compared(
        &mut self,
        number: Option<u32>,
        title: &str,
        differences: Vec<Difference>,
        commands: Option<(&[u8], &[u8])>,
    ) {
        self.compared += 1;
        if differences.is_empty() {
            return;
        }
        self.failures.push(Failure {
            number,
            title: title.to_owned(),
            differences,
            expected: commands.map(|(expected, _)| dump::command(expected)),
            actual: commands.map(|(_, actual)| dump::command(actual)),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, sent, compared, took) =
            (&self.name, self.sent, self.compared, self.took.as_secs_f64());
        if self.is_ok() {
            return write!(
                f,
                "ok {name} ({sent} commands, {compared} answers compared, {took:.1} s)"
            );
        }
        let count = self.failures.len();
        writeln!(
            f,
            "FAILED {name} ({sent} commands, {compared} answers compared, {count} wrong, {took:.1} s)"
        )?;
        for failure in &self.failures {
            write!(f, "{failure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => writeln!(f, "  command {number}: {}", self.title)?,
            None => writeln!(f, "  {}", self.title)?,
        }
        for difference in &self.differences {
            writeln!(f, "    {difference}")?;
        }
        for (title, dump) in [("recorded", &self.expected), ("this agent", &self.actual)] {
            if let Some(dump) = dump {
                writeln!(f, "    {title}:")?;
                for line in dump.lines() {
                    writeln!(f, "      {line}")?;
                }
            }
        }
        Ok(())
    }
}
