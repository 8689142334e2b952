//! Proposed rules as a file of bindings, with what to look at as comments.

use std::fmt;

use super::{ProposedRule, Suggestion};

/// The most names of jobs in a comment.
const NAMED: usize = 5;

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Proposed from the jobs that are there. Read it before you use it.")?;
        if !self.with_catalog {
            writeln!(
                f,
                "# No catalog was given: the names of pipelines are only proposals, each for"
            )?;
            writeln!(
                f,
                "# jobs with the same parameters. With --catalog the pipelines are chosen."
            )?;
        }
        writeln!(f, "api: pilotfish/v1\nkind: bindings")?;
        if self.rules.is_empty() {
            writeln!(f, "rules: []")?;
        } else {
            writeln!(f, "rules:")?;
        }
        for rule in &self.rules {
            write_rule(f, rule, self.with_catalog)?;
        }
        if !self.left.is_empty() {
            writeln!(f, "# Nothing is proposed for:")?;
            for (name, reason) in &self.left {
                writeln!(f, "#   {}: {}", comment(name), comment(reason))?;
            }
        }
        Ok(())
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, rule: &ProposedRule, with_catalog: bool) -> fmt::Result {
    let named: Vec<String> = rule.jobs.iter().take(NAMED).map(|name| comment(name)).collect();
    let more = if rule.jobs.len() > NAMED { ", …" } else { "" };
    writeln!(f, "  # {} job(s): {}{more}", rule.jobs.len(), named.join(", "))?;
    for name in &rule.missing {
        writeln!(f, "  # The pipeline needs `{}` and these jobs do not have it:", comment(name))?;
        writeln!(f, "  # add `set:` with a value.")?;
    }
    writeln!(f, "  - name: {}", quoted(&rule.name))?;
    let matches = &rule.matches;
    writeln!(f, "    match:")?;
    for (key, glob) in [("folder", &matches.folder), ("job", &matches.job)] {
        if let Some(glob) = glob {
            writeln!(f, "      {key}: {}", quoted(glob))?;
        }
    }
    if !matches.parameters.is_empty() {
        writeln!(f, "      parameters:")?;
        for (name, glob) in &matches.parameters {
            writeln!(f, "        {}: {}", quoted(name), quoted(glob))?;
        }
    }
    writeln!(f, "    pipeline: {}", quoted(&rule.pipeline))?;
    if !rule.mapping.is_empty() {
        writeln!(
            f,
            "    # Names that are alike but not equal: make sure that they mean the same."
        )?;
        writeln!(f, "    parameters:")?;
        for (parameter, from) in &rule.mapping {
            writeln!(f, "      {}: {}", quoted(parameter), quoted(from))?;
        }
    }
    if with_catalog && !rule.unmapped.is_empty() {
        writeln!(f, "    # The pipeline has no use for these:")?;
        let names: Vec<String> = rule.unmapped.iter().map(|name| quoted(name)).collect();
        writeln!(f, "    ignore: [{}]", names.join(", "))?;
    }
    if !with_catalog {
        let names: Vec<String> = rule.unmapped.iter().map(|name| comment(name)).collect();
        writeln!(f, "    # Parameters: {}", names.join(", "))?;
    }
    Ok(())
}

/// A JSON text is a YAML text.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn comment(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}
