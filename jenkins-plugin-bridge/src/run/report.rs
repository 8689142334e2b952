//! The report of a run: one HTML file that needs nothing else.

use std::fmt::Write as _;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use super::junit::{TestStatus, TestSuite};
use super::{RunResult, StageResult};
use crate::plan::Outcome;
use crate::text::{duration_words, escape_html};

/// The most bytes of a log that stand in the report: its end, where the reason of a failure is.
const LOG_TAIL: u64 = 64 * 1024;
/// The most failed tests that are listed.
const LISTED_TESTS: usize = 200;

const STYLE: &str = concat!(
    include_str!("../palette.css"),
    "
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1100px;padding:1.5rem;overflow-wrap:break-word}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.dim{color:var(--dim)}.mark{display:inline-block;padding:.05rem .55rem;border-radius:1rem;color:#fff;font-size:.85rem}
.success{--c:var(--success)}.failure{--c:var(--failure)}.unstable{--c:var(--unstable)}
.aborted{--c:var(--aborted)}.skipped,.pending{--c:var(--skipped)}
.mark,.bar{background:var(--c)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .5rem;border-bottom:1px solid var(--line);vertical-align:middle}
th:last-child{text-align:right}td.name{width:34%}td.time{white-space:nowrap;width:6rem;text-align:right;font-variant-numeric:tabular-nums}
.track{position:relative;height:1.1rem;background:var(--card);border-radius:.2rem;min-width:12rem}
.bar{position:absolute;top:0;bottom:0;border-radius:.2rem;min-width:2px}.group .bar{opacity:.35}
details{border:1px solid var(--line);border-radius:.4rem;margin:.4rem 0;background:var(--card)}
summary{cursor:pointer;padding:.4rem .7rem}pre{overflow:auto;max-height:30rem;margin:0;padding:.7rem;border-top:1px solid var(--line);font-size:.82rem;white-space:pre-wrap;overflow-wrap:anywhere}
ul{padding-left:1.2rem}a{color:inherit}
@media(max-width:640px){body{padding:1rem}.track{min-width:4rem}td,th{padding:.3rem .25rem}td.time{width:auto}}"
);

fn tail(path: &Path) -> String {
    let Ok(mut file) = std::fs::File::open(path) else { return String::new() };
    let length = file.metadata().map_or(0, |about| about.len());
    let skipped = length.saturating_sub(LOG_TAIL);
    if skipped > 0 && file.seek(SeekFrom::Start(skipped)).is_err() {
        return String::new();
    }
    let mut bytes = Vec::new();
    if file.take(LOG_TAIL).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lead = if skipped > 0 { format!("… {skipped} bytes before\n") } else { String::new() };
    format!("{lead}{}", escape_html(&text))
}

fn mark(outcome: Outcome) -> String {
    let word = outcome.word();
    format!("<span class=\"mark {word}\">{word}</span>")
}

fn timeline(result: &RunResult, html: &mut String) {
    html.push_str("<h2>Stages</h2>\n<table><thead><tr><th>Stage</th><th>Result</th><th>Timeline</th><th>Time</th></tr></thead><tbody>\n");
    let whole = result.milliseconds.max(1);
    // Per ten thousand, so that the percentages have two digits.
    let share = |part: u64| {
        let share = u128::from(part) * 10_000 / u128::from(whole);
        let share = share.min(10_000);
        format!("{}.{:02}", share / 100, share % 100)
    };
    for stage in &result.stages {
        let class = if stage.group { "group" } else { "" };
        let rehearsed = if stage.rehearsed { " <span class=dim>rehearsed</span>" } else { "" };
        let again = match stage.attempts {
            0 | 1 => String::new(),
            tries => format!(" <span class=dim>{tries} tries</span>"),
        };
        let _ = write!(
            html,
            "<tr class=\"{class}\"><td class=name style=\"padding-left:{}.5rem\">{}{rehearsed}{again}</td><td>{}</td>",
            2 * stage.depth,
            escape_html(&stage.title),
            mark(stage.outcome)
        );
        if stage.outcome == Outcome::Skipped {
            let _ =
                writeln!(html, "<td class=dim colspan=2>{}</td></tr>", escape_html(&stage.reason));
            continue;
        }
        let _ = writeln!(
            html,
            "<td><div class=track><div class=\"bar {}\" style=\"left:{}%;width:{}%\"></div></div></td><td class=time>{}</td></tr>",
            stage.outcome.word(),
            share(stage.start),
            share(stage.milliseconds),
            duration_words(Duration::from_millis(stage.milliseconds))
        );
    }
    html.push_str("</tbody></table>\n");
}

fn outputs(result: &RunResult, html: &mut String) {
    let all: Vec<_> = result.stages.iter().filter(|one| !one.outputs.is_empty()).collect();
    if all.is_empty() {
        return;
    }
    html.push_str("<h2>Outputs</h2>\n<table><tbody>\n");
    for stage in all {
        for (name, value) in &stage.outputs {
            let _ = writeln!(
                html,
                "<tr><td class=name>{}</td><td>{}</td><td><code>{}</code></td></tr>",
                escape_html(&stage.title),
                escape_html(name),
                escape_html(value)
            );
        }
    }
    html.push_str("</tbody></table>\n");
}

fn tests(result: &RunResult, suites: &[(String, Vec<TestSuite>)], html: &mut String) {
    if result.tests.total == 0 {
        return;
    }
    let totals = result.tests;
    let _ = writeln!(
        html,
        "<h2>Tests</h2>\n<p>{} tests, {} failed, {} skipped. <a href=\"junit.xml\">junit.xml</a></p>",
        totals.total, totals.failed, totals.skipped
    );
    let failed = suites.iter().flat_map(|(stage, suites)| {
        suites.iter().flat_map(|suite| &suite.tests).map(move |test| (stage, test))
    });
    let failed =
        failed.filter(|(_, test)| matches!(test.status, TestStatus::Failed | TestStatus::Error));
    for (stage, test) in failed.take(LISTED_TESTS) {
        let _ = writeln!(
            html,
            "<details><summary>{} <b>{}</b> {} <span class=dim>{}</span></summary><pre>{}\n{}</pre></details>",
            mark(Outcome::Failure),
            escape_html(&test.name),
            escape_html(&test.class),
            escape_html(stage),
            escape_html(&test.message),
            escape_html(&test.text)
        );
    }
}

fn log(stage: &StageResult, output: &Path, html: &mut String) {
    let Some(path) = &stage.log else { return };
    let open = if stage.outcome == Outcome::Failure { " open" } else { "" };
    let _ = writeln!(
        html,
        "<details{open}><summary>{} <b>{}</b> <span class=dim>{}</span></summary><pre>{}</pre></details>",
        mark(stage.outcome),
        escape_html(&stage.title),
        escape_html(&stage.reason),
        tail(&output.join(path))
    );
}

/// The report. Everything that came from the build is escaped.
pub(super) fn html(
    result: &RunResult,
    suites: &[(String, Vec<TestSuite>)],
    output: &Path,
) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
<meta http-equiv=Content-Security-Policy content=\"default-src 'none';style-src 'unsafe-inline'\">\
<title>{0}: {1}</title><style>{STYLE}</style></head><body>\n<h1>{0} {2}</h1>\n",
        escape_html(&result.pipeline),
        result.outcome.word(),
        mark(result.outcome)
    );
    let _ = writeln!(
        html,
        "<p class=dim>{} · {} · {}<br>plan {}</p>",
        escape_html(&result.started),
        duration_words(Duration::from_millis(result.milliseconds)),
        escape_html(&result.runtime),
        escape_html(&result.digest)
    );
    if !result.notes.is_empty() {
        html.push_str("<ul>");
        for note in &result.notes {
            let _ = write!(html, "<li>{}</li>", escape_html(note));
        }
        html.push_str("</ul>\n");
    }
    timeline(result, &mut html);
    outputs(result, &mut html);
    tests(result, suites, &mut html);
    let kept: Vec<&String> = result.stages.iter().flat_map(|stage| &stage.artifacts).collect();
    if !kept.is_empty() {
        html.push_str("<h2>Files</h2>\n<ul>");
        for path in kept {
            let path = escape_html(path);
            let _ = write!(html, "<li><a href=\"{path}\">{path}</a></li>");
        }
        html.push_str("</ul>\n");
    }
    html.push_str("<h2>Logs</h2>\n");
    for stage in &result.stages {
        log(stage, output, &mut html);
    }
    html.push_str("</body></html>\n");
    html
}
