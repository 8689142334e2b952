//! What was read, as a table for people or as JSON for programs.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::inventory::Inventory;
use super::model::{Job, Parameter, ParameterKind, ScriptSource};

/// The most characters of one cell.
const CELL: usize = 48;

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table.
    Table,
    /// JSON.
    Json,
}

/// The result as text, with a newline at the end.
#[must_use]
pub fn show(inventory: &Inventory, controller: &str, format: Format) -> String {
    match format {
        Format::Json => {
            let value = json!({
                "controller": controller,
                "jobs": inventory.jobs,
                "skipped": inventory.skipped,
            });
            format!("{value:#}\n")
        }
        Format::Table => table(inventory),
    }
}

fn table(inventory: &Inventory) -> String {
    let mut rows =
        vec![["JOB", "KIND", "PARAMETER", "TYPE", "DEFAULT", "ACCEPTS"].map(str::to_owned)];
    let mut notes = String::new();
    for job in &inventory.jobs {
        let mut first = [cell(&job.name), kind(job), String::new(), String::new()];
        if job.parameters.is_empty() {
            let [name, kind, ..] = first;
            rows.push([name, kind, "(none)".into(), String::new(), String::new(), String::new()]);
        } else {
            for parameter in &job.parameters {
                let [name, kind, ..] = std::mem::take(&mut first);
                let [parameter, word, default, accepts] = columns(parameter);
                rows.push([name, kind, parameter, word, default, accepts]);
            }
        }
        for note in &job.notes {
            let _ = writeln!(notes, "note: {}: {}", clean(&job.name), clean(note));
        }
    }
    let mut text = lay_out(&rows);
    let parameters: usize = inventory.jobs.iter().map(|job| job.parameters.len()).sum();
    let _ = writeln!(text, "\n{} jobs, {parameters} parameters", inventory.jobs.len());
    text.push_str(&notes);
    for (name, reason) in &inventory.skipped {
        let _ = writeln!(text, "not read: {}: {}", clean(name), clean(reason));
    }
    text
}

fn kind(job: &Job) -> String {
    let word = json!(job.kind).as_str().unwrap_or_default().to_owned();
    let more = match (&job.label, &job.script) {
        (Some(label), _) => format!(" on {label}"),
        (None, Some(ScriptSource::Scm { path })) => format!(" {path}"),
        _ => String::new(),
    };
    cell(&format!("{word}{more}"))
}

fn columns(parameter: &Parameter) -> [String; 4] {
    let kind = &parameter.kind;
    let default = match kind {
        ParameterKind::Password { .. } => "(not read)".to_owned(),
        other => match other.default_value() {
            Some(Value::String(text)) if text.is_empty() => "\"\"".to_owned(),
            Some(Value::String(text)) => cell(&text),
            Some(value) => value.to_string(),
            None => "-".to_owned(),
        },
    };
    let accepts = match kind {
        ParameterKind::Run { project: Some(project), .. } => format!("a build of {project}"),
        ParameterKind::GitReference { reference: Some(reference), .. } => reference.clone(),
        ParameterKind::ValidatingString { pattern: Some(pattern), .. } => pattern.clone(),
        ParameterKind::Credentials { credential_type: Some(class), .. } => {
            class.rsplit('.').next().unwrap_or_default().to_owned()
        }
        ParameterKind::Opaque { class } | ParameterKind::Password { class } => class.clone(),
        ParameterKind::ActiveChoice { script: Some(_), .. } if kind.choices().is_none() => {
            "what its script returns".to_owned()
        }
        _ => kind.choices().map(|all| all.join(", ")).unwrap_or_default(),
    };
    [cell(&parameter.name), kind.word().to_owned(), default, cell(&accepts)]
}

/// One line without control characters: a name read from a controller does not steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn cell(text: &str) -> String {
    let text = clean(text);
    if text.chars().count() <= CELL {
        return text;
    }
    text.chars().take(CELL - 1).chain(['…']).collect()
}

fn lay_out(rows: &[[String; 6]]) -> String {
    let mut widths = [0; 6];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let line: String = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width + 2 - cell.chars().count())))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
