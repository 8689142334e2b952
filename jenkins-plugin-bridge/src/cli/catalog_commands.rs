//! `lint`, `schema` and `docs`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{CatalogArguments, FAILED, PASSED, print};
use crate::catalog::docs::{html, markdown};
use crate::catalog::lint::{Rule, Severity, lint as check};
use crate::catalog::schema::{formats, published};
use crate::error::BridgeError;

/// Arguments of `lint`.
#[derive(Debug, Args)]
pub struct LintArguments {
    #[command(flatten)]
    catalog: CatalogArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Warnings fail too.
    #[arg(long)]
    strict: bool,
    /// Print all rules and what they ask for, and check nothing.
    #[arg(long)]
    rules: bool,
}

pub(super) fn lint(arguments: &LintArguments) -> Result<u8, BridgeError> {
    if arguments.rules {
        for rule in Rule::ALL {
            print(&format!("{}: {}\n", rule.id(), rule.about()));
        }
        return Ok(PASSED);
    }
    let findings = check(&arguments.catalog.load()?);
    let errors = findings.iter().filter(|one| one.rule.severity() == Severity::Error).count();
    let warnings = findings.len() - errors;
    if arguments.json {
        let all: Vec<_> = findings
            .iter()
            .map(|one| {
                json!({
                    "rule": one.rule.id(), "severity": one.rule.severity(),
                    "file": one.problem.file, "path": one.problem.path,
                    "message": one.problem.message,
                })
            })
            .collect();
        print(&format!("{:#}\n", json!(all)));
    } else {
        for one in &findings {
            print(&format!("{one}\n"));
        }
        print(&format!("{errors} error(s), {warnings} warning(s)\n"));
    }
    let failed = errors > 0 || (arguments.strict && warnings > 0);
    Ok(if failed { FAILED } else { PASSED })
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// The format; without one, all formats are named.
    format: Option<String>,
    /// Write all schemas to this directory.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "format")]
    output: Option<PathBuf>,
}

pub(super) fn schema(arguments: &SchemaArguments) -> Result<u8, BridgeError> {
    if let Some(directory) = &arguments.output {
        let failed = |e| BridgeError::io(format!("write to {}", directory.display()), e);
        std::fs::create_dir_all(directory).map_err(failed)?;
        for format in formats() {
            let path = directory.join(format!("{}.json", format.kind));
            std::fs::write(path, published(&format.schema)).map_err(failed)?;
        }
        return Ok(PASSED);
    }
    let Some(name) = &arguments.format else {
        for format in formats() {
            print(&format!("{}\n", format.kind));
        }
        return Ok(PASSED);
    };
    let format = formats().iter().find(|one| one.kind == name.as_str());
    let format = format.ok_or_else(|| {
        BridgeError::unknown("format", name, formats().iter().map(|one| one.kind))
    })?;
    print(&published(&format.schema));
    Ok(PASSED)
}

/// Arguments of `docs`.
#[derive(Debug, Args)]
pub struct DocsArguments {
    #[command(flatten)]
    catalog: CatalogArguments,
    /// What to write.
    #[arg(long, value_enum, default_value = "markdown")]
    format: DocsFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DocsFormat {
    /// Markdown.
    Markdown,
    /// One HTML file that needs nothing else.
    Html,
}

pub(super) fn docs(arguments: &DocsArguments) -> Result<u8, BridgeError> {
    let catalog = arguments.catalog.load()?;
    print(&match arguments.format {
        DocsFormat::Markdown => markdown(&catalog),
        DocsFormat::Html => html(&catalog),
    });
    Ok(PASSED)
}
