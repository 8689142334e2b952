//! The table at the end.

use std::fmt;

use crate::host;
use crate::setup::Setup;

/// What a figure must reach.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Measured for information.
    None,
}

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// What was measured.
    pub figure: String,
    /// The agent's median.
    pub ours: String,
    /// The median of what it is compared with.
    pub theirs: String,
    /// The value that the bar is about.
    pub value: f64,
    /// Its unit, as it stands behind the value.
    pub unit: &'static str,
    /// What it must reach.
    pub bar: Bar,
}

/// The rows measured so far.
#[derive(Debug)]
pub struct Report {
    head: String,
    rows: Vec<Row>,
    loads: Vec<f64>,
}

impl Bar {
    fn met(self, value: f64) -> &'static str {
        let met = match self {
            Self::AtMost(bar) => value <= bar,
            Self::AtLeast(bar) => value >= bar,
            Self::None => return "",
        };
        if met { "yes" } else { "**no**" }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtMost(bar) => format!("≤ {bar}{unit}"),
            Self::AtLeast(bar) => format!("≥ {bar}{unit}"),
            Self::None => "–".to_owned(),
        }
    }
}

impl Report {
    /// A report with no rows.
    pub fn new(setup: &Setup) -> Self {
        let head = format!("{}; {}", host::shape(), setup.describe());
        println!("{head}");
        Self { head, rows: Vec::new(), loads: Vec::new() }
    }

    /// Adds a row, and prints it already.
    pub fn add(&mut self, row: Row) {
        println!(
            "  {}: {} beside {}: {}{} (bar {}) {}",
            row.figure,
            row.ours,
            row.theirs,
            digits(row.value),
            row.unit,
            row.bar.text(row.unit),
            row.bar.met(row.value)
        );
        self.rows.push(row);
    }

    /// Notes the load averages before and after a figure.
    pub fn load(&mut self, before: f64, after: f64) {
        self.loads.extend([before, after]);
    }
}

/// Three digits that count, or all before the point.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = self.loads.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.loads.iter().copied().fold(0.0, f64::max);
        writeln!(f, "{}; load average {low:.1} to {high:.1}\n", self.head)?;
        writeln!(f, "| figure | the agent | compared with | result | bar | met |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let Row { figure, ours, theirs, value, unit, bar } = row;
            let (value_text, met) = (digits(*value), bar.met(*value));
            writeln!(
                f,
                "| {figure} | {ours} | {theirs} | {value_text}{unit} | {} | {met} |",
                bar.text(unit)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_met_at_their_value() {
        assert_eq!(Bar::AtMost(12.0).met(12.0), "yes");
        assert_eq!(Bar::AtMost(12.0).met(12.1), "**no**");
        assert_eq!(Bar::AtLeast(0.5).met(0.49), "**no**");
        // What could not be computed has met nothing.
        assert_eq!(Bar::AtLeast(0.5).met(f64::NAN), "**no**");
        assert_eq!(Bar::None.met(1.0), "");
    }

    #[test]
    fn values_keep_the_digits_that_count() {
        assert_eq!(digits(1234.5), "1234");
        assert_eq!(digits(12.34), "12.3");
        assert_eq!(digits(0.567), "0.57");
        assert_eq!(digits(0.0123), "0.0123");
    }
}
