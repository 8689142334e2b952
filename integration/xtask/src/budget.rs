//! Runs the parts of a recipe one after the other and tells how long each took.

use std::time::{Duration, Instant};

use crate::context::{Context, Done};

/// A part of a recipe.
pub struct Part {
    /// Its name, by which it can be left out.
    pub name: &'static str,
    /// How many seconds it may take on two cores with empty caches.
    pub budget: u64,
    /// What it does.
    pub run: fn(&Context) -> Done,
}

/// Runs all parts, also after one has failed, and prints the table.
pub fn run(context: &Context, parts: &[Part]) -> Done {
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for part in parts {
        println!("\n==> {} (budget {} s)", part.name, part.budget);
        let begin = Instant::now();
        let result = (part.run)(context);
        if let Err(failure) = &result {
            println!("{}: {failure}", part.name);
            failures.push(part.name);
        }
        rows.push((part, begin.elapsed(), result.is_ok()));
    }
    println!("\n{}", table(&rows));
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {}", failures.join(", "))) }
}

fn table(rows: &[(&Part, Duration, bool)]) -> String {
    let mut lines = vec![format!("{:<12} {:>8} {:>8}  result", "part", "seconds", "budget")];
    for (part, taken, passed) in rows {
        let result = if *passed { "ok" } else { "FAILED" };
        let over = if taken.as_secs() > part.budget { ", over its budget" } else { "" };
        let taken = taken.as_secs_f64();
        lines.push(format!("{:<12} {taken:>8.1} {:>8}  {result}{over}", part.name, part.budget));
    }
    let taken: Duration = rows.iter().map(|(_, taken, _)| *taken).sum();
    let budget: u64 = rows.iter().map(|(part, ..)| part.budget).sum();
    lines.push(format!("{:<12} {:>8.1} {budget:>8}", "all", taken.as_secs_f64()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_failures_and_overruns() {
        let slow = Part { name: "slow", budget: 1, run: |_| Ok(()) };
        let broken = Part { name: "broken", budget: 10, run: |_| Err("why".to_owned()) };
        let rows =
            [(&slow, Duration::from_secs(3), true), (&broken, Duration::from_millis(500), false)];
        assert_eq!(
            table(&rows),
            "part          seconds   budget  result\n\
             slow              3.0        1  ok, over its budget\n\
             broken            0.5       10  FAILED\n\
             all               3.5       11"
        );
    }
}
