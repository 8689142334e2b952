//! `docs`: the reference page of a catalog, in Markdown and in HTML from the same blocks.

use std::fmt::Write as _;

use serde_json::Value;

use super::Catalog;
use super::model::{Effects, Identifier, ParameterSchema, Pipeline, StageEntry, StageTemplate};
use crate::plan::environment::{is_file, variable_of};
use crate::text::{escape_html, shown};

enum Block {
    Heading(usize, String),
    Text(String),
    List(Vec<String>),
    Table(Vec<&'static str>, Vec<Vec<String>>),
    Code(String),
}

/// The reference page in Markdown.
#[must_use]
pub fn markdown(catalog: &Catalog) -> String {
    let mut text = String::new();
    for block in blocks(catalog) {
        match block {
            Block::Heading(level, title) => {
                let _ = writeln!(text, "{} {}\n", "#".repeat(level), markdown_text(&title));
            }
            Block::Text(one) => {
                let _ = writeln!(text, "{}\n", markdown_text(&one));
            }
            Block::List(all) => {
                for one in all {
                    let _ = writeln!(text, "- {}", markdown_text(&one));
                }
                text.push('\n');
            }
            Block::Table(head, rows) => {
                let _ = writeln!(text, "| {} |", head.join(" | "));
                let _ = writeln!(text, "|{}", " --- |".repeat(head.len()));
                for row in rows {
                    let cells: Vec<String> = row
                        .iter()
                        .map(|one| markdown_text(one).replace('|', "\\|").replace('\n', " "))
                        .collect();
                    let _ = writeln!(text, "| {} |", cells.join(" | "));
                }
                text.push('\n');
            }
            Block::Code(one) => {
                let _ = writeln!(text, "```\n{}\n```\n", one.trim_end());
            }
        }
    }
    text
}

/// The text of a template in Markdown: nothing in it is HTML.
fn markdown_text(text: &str) -> String {
    text.trim().replace('<', "&lt;")
}

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--line:#d1d9e0;--card:#f6f8fa}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--line:#3d444d;--card:#151b23}}
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:960px;padding:1.5rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{border:1px solid var(--line);padding:.3rem .5rem;text-align:left;vertical-align:top}
code,pre{background:var(--card);border-radius:.3rem}code{padding:.1rem .3rem}pre{padding:.7rem;overflow:auto}
h2{border-bottom:1px solid var(--line);margin-top:2.5rem}";

/// The reference page as one HTML file.
#[must_use]
pub fn html(catalog: &Catalog) -> String {
    let title = escape_html(catalog.info.name.as_str());
    let mut text = format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
<meta http-equiv=Content-Security-Policy content=\"default-src 'none';style-src 'unsafe-inline'\">\
<title>Catalog {title}</title><style>{STYLE}</style></head><body>\n"
    );
    for block in blocks(catalog) {
        match block {
            Block::Heading(level, title) => {
                let title = inline(&title);
                let _ = writeln!(text, "<h{level}>{title}</h{level}>");
            }
            Block::Text(one) => {
                let _ = writeln!(text, "<p>{}</p>", inline(&one));
            }
            Block::List(all) => {
                let items: String =
                    all.iter().map(|one| format!("<li>{}</li>", inline(one))).collect();
                let _ = writeln!(text, "<ul>{items}</ul>");
            }
            Block::Table(head, rows) => {
                let head: String = head.iter().map(|one| format!("<th>{one}</th>")).collect();
                let _ = write!(text, "<table><thead><tr>{head}</tr></thead><tbody>");
                for row in rows {
                    let cells: String =
                        row.iter().map(|one| format!("<td>{}</td>", inline(one))).collect();
                    let _ = write!(text, "<tr>{cells}</tr>");
                }
                text.push_str("</tbody></table>\n");
            }
            Block::Code(one) => {
                let _ = writeln!(text, "<pre>{}</pre>", escape_html(&one));
            }
        }
    }
    text.push_str("</body></html>\n");
    text
}

/// Text with `code` marked; everything else is escaped.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.trim().split('`').enumerate() {
        let part = escape_html(part);
        if index % 2 == 1 {
            let _ = write!(html, "<code>{part}</code>");
        } else {
            html.push_str(&part);
        }
    }
    html
}

fn blocks(catalog: &Catalog) -> Vec<Block> {
    let info = &catalog.info;
    let mut all = vec![
        Block::Heading(1, format!("Catalog {} {}", info.name, info.version)),
        Block::Text(info.description.clone()),
        Block::Heading(2, "Pipelines".into()),
    ];
    for filed in catalog.pipelines.values() {
        pipeline(catalog, &filed.value, &mut all);
    }
    all.push(Block::Heading(2, "Stages".into()));
    for filed in catalog.stages.values().flatten() {
        stage(&filed.value, &mut all);
    }
    if !catalog.layers.is_empty() {
        all.push(Block::Heading(2, "Layers".into()));
        let rows = catalog.layers.iter().map(|one| &one.value).map(|layer| {
            let pipelines: Vec<&str> = layer.pipelines.iter().map(Identifier::as_str).collect();
            let paths = layer.overrides.iter().map(|one| format!("`{}`", one.path));
            let paths = paths.chain(layer.appends.iter().map(|one| format!("`{}` (+)", one.path)));
            vec![
                layer.level.to_string(),
                layer.name.to_string(),
                layer.description.clone().unwrap_or_default(),
                if pipelines.is_empty() { "all".into() } else { pipelines.join(", ") },
                paths.collect::<Vec<_>>().join(", "),
            ]
        });
        let rows = rows.collect();
        all.push(Block::Table(vec!["Level", "Name", "For", "Pipelines", "Changes"], rows));
    }
    if !catalog.rules.is_empty() {
        all.push(Block::Heading(2, "Which job gets which pipeline".into()));
        all.push(Block::Text("The first rule that matches a job wins.".into()));
        let rows = catalog.rules.iter().map(|one| &one.value).map(|rule| {
            let matches = serde_json::to_value(&rule.matches).unwrap_or(Value::Null);
            let matches = match matches.as_object() {
                Some(map) if map.is_empty() => "every job".to_owned(),
                _ => format!("`{matches}`"),
            };
            vec![rule.name.to_string(), matches, rule.pipeline.to_string()]
        });
        let rows = rows.collect();
        all.push(Block::Table(vec!["Rule", "Jobs", "Pipeline"], rows));
    }
    all
}

fn pipeline(catalog: &Catalog, pipeline: &Pipeline, all: &mut Vec<Block>) {
    all.push(Block::Heading(3, format!("{} {}", pipeline.name, pipeline.version)));
    all.push(Block::Text(pipeline.description.clone()));
    if let Some(owners) = &pipeline.owners {
        all.push(Block::Text(format!("Owners: {owners}")));
    }
    let mut lines = String::new();
    for entry in &pipeline.stages {
        outline(entry, 0, &mut lines);
    }
    for (name, entries) in pipeline.post.lists() {
        for entry in entries {
            let _ = write!(lines, "after, {name}: ");
            outline(entry, 0, &mut lines);
        }
    }
    all.push(Block::Code(lines));
    parameters(&pipeline.parameters, all);
    if !pipeline.open.is_empty() {
        all.push(Block::Heading(4, "Open to lower layers".into()));
        all.push(Block::List(
            pipeline
                .open
                .iter()
                .map(|one| {
                    let allow: Vec<String> = one.allow.iter().map(ToString::to_string).collect();
                    let to: Vec<String> = one.to.iter().map(ToString::to_string).collect();
                    let to = if to.is_empty() { "all".to_owned() } else { to.join(", ") };
                    format!("`{}`: {} by {to}", one.path, allow.join(" and "))
                })
                .collect(),
        ));
    }
    let examples = catalog.examples.values().filter(|one| one.value.pipeline == pipeline.name);
    let examples: Vec<String> = examples
        .map(|one| {
            let about = one.value.description.clone().unwrap_or_default();
            let parameters = serde_json::to_value(&one.value.parameters).unwrap_or(Value::Null);
            format!("{}: {about} `{parameters}`", one.value.name)
        })
        .collect();
    if !examples.is_empty() {
        all.push(Block::Heading(4, "Examples".into()));
        all.push(Block::List(examples));
    }
}

fn outline(entry: &StageEntry, depth: usize, lines: &mut String) {
    let what = match (&entry.uses, &entry.parallel, &entry.extension) {
        (Some(uses), ..) => uses.0.clone(),
        (_, Some(_), _) => "in parallel".into(),
        (.., Some(_)) => "extension point".into(),
        _ => "in sequence".into(),
    };
    let _ = write!(lines, "{}{}: {what}", "  ".repeat(depth), entry.id());
    if let Some(when) = &entry.when {
        let _ = write!(lines, "  when {when}");
    }
    if let Some(matrix) = &entry.matrix {
        let axes: Vec<&str> = matrix.axes.keys().map(Identifier::as_str).collect();
        let _ = write!(lines, "  for every {}", axes.join(", "));
    }
    lines.push('\n');
    for child in entry.children() {
        outline(child, depth + 1, lines);
    }
}

fn stage(stage: &StageTemplate, all: &mut Vec<Block>) {
    all.push(Block::Heading(3, format!("{} {}", stage.name, stage.version)));
    all.push(Block::Text(stage.description.clone()));
    let mut about = Vec::new();
    if stage.effects == Effects::External {
        about.push("Changes something outside the workspace; a local run rehearses it.".to_owned());
    }
    if let Some(when) = &stage.when {
        about.push(format!("Runs when `{when}`."));
    }
    if let Some(timeout) = &stage.timeout {
        about.push(format!("Timeout {timeout}."));
    }
    for one in &stage.credentials {
        let optional = if one.optional { ", optional" } else { "" };
        about.push(format!("Credential `{}` in `{}`{optional}.", one.id, one.variable));
    }
    for (name, one) in &stage.outputs {
        let optional = if one.optional { ", optional" } else { "" };
        about.push(format!("Output `{name}`{optional}: {}", one.description));
    }
    for one in stage.extension_points() {
        about.push(format!("Extension point `{one}`."));
    }
    if !about.is_empty() {
        all.push(Block::List(about));
    }
    let amount = |one: &Option<super::model::Quantity>| {
        one.as_ref().map_or_else(String::new, ToString::to_string)
    };
    let rows: Vec<Vec<String>> = stage
        .containers
        .iter()
        .map(|one| (&one.name, &one.image, &one.requests))
        .chain(stage.services.iter().map(|one| (&one.name, &one.image, &one.requests)))
        .map(|(name, image, requests)| {
            vec![
                name.to_string(),
                format!("`{image}`"),
                amount(&requests.cpu),
                amount(&requests.memory),
            ]
        })
        .collect();
    if !rows.is_empty() {
        all.push(Block::Table(vec!["Container", "Image", "CPU", "Memory"], rows));
    }
    parameters(&stage.parameters, all);
}

fn parameters(schema: &ParameterSchema, all: &mut Vec<Block>) {
    let rows: Vec<Vec<String>> = schema
        .properties()
        .map(|(name, one)| {
            let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
            let mut accepted = text("type").to_owned();
            for key in ["enum", "pattern", "minimum", "maximum", "minLength", "maxLength"] {
                if let Some(value) = one.get(key) {
                    let _ = write!(accepted, " {key} `{}`", shown(value));
                }
            }
            let default = match one.get("default") {
                Some(value) => format!("`{}`", shown(value)),
                None if schema.is_required(name) => "required".into(),
                None => String::new(),
            };
            let file = if is_file(one) { " (file)" } else { "" };
            vec![
                format!("`{name}`"),
                text("description").to_owned(),
                accepted,
                default,
                format!("`{}`{file}", variable_of(name, one)),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let head = vec!["Parameter", "Meaning", "Accepted", "Default", "Variable"];
        all.push(Block::Table(head, rows));
    }
}
