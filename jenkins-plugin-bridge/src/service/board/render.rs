//! Templates to pages. Whatever comes from outside is escaped, control characters included.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, Output, State, context};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::visitor::Visitor;
use crate::service::problem::Problem;
use crate::text::{duration_words, escape_html};

/// The templates, in the program.
const TEMPLATES: [(&str, &str); 13] = [
    ("base.html", include_str!("templates/base.html")),
    ("parts.html", include_str!("templates/parts.html")),
    ("overview.html", include_str!("templates/overview.html")),
    ("builds.html", include_str!("templates/builds.html")),
    ("build.html", include_str!("templates/build.html")),
    ("jobs.html", include_str!("templates/jobs.html")),
    ("job.html", include_str!("templates/job.html")),
    ("deliveries.html", include_str!("templates/deliveries.html")),
    ("agents.html", include_str!("templates/agents.html")),
    ("images.html", include_str!("templates/images.html")),
    ("sizing.html", include_str!("templates/sizing.html")),
    ("audit.html", include_str!("templates/audit.html")),
    ("login.html", include_str!("templates/login.html")),
];

fn environment() -> Result<&'static Environment<'static>, &'static Error> {
    static ENVIRONMENT: OnceLock<Result<Environment<'static>, Error>> = OnceLock::new();
    ENVIRONMENT
        .get_or_init(|| {
            let mut all = Environment::new();
            all.set_undefined_behavior(minijinja::UndefinedBehavior::Chainable);
            all.set_formatter(write);
            all.add_filter("clock", clock);
            all.add_filter("words", words);
            all.add_filter("bytes", bytes);
            all.add_filter("link", link);
            all.add_filter("segment", |text: &str| encode(text));
            all.add_global("version", env!("CARGO_PKG_VERSION"));
            for (name, text) in TEMPLATES {
                all.add_template(name, text)?;
            }
            Ok(all)
        })
        .as_ref()
}

/// Writes a value into a page.
fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => out.write_str(&escape_html(text)).map_err(Error::from),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// A time in milliseconds since 1970, for people: UTC.
fn clock(at_ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&format).ok())
        .unwrap_or_default()
}

/// A duration in milliseconds, in words.
fn words(ms: i64) -> String {
    duration_words(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| count >= *size);
    unit.map_or_else(
        || format!("{count} B"),
        |(size, name)| {
            let tenths = count.saturating_mul(10) / size;
            if tenths >= 100 || tenths.is_multiple_of(10) {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        },
    )
}

/// An address that a browser may be sent to by a click; nothing else becomes a link.
pub fn link(address: &str) -> String {
    let good = address.starts_with("https://") || address.starts_with("http://");
    if good { address.to_owned() } else { String::new() }
}

/// Text as a part of a path or a query.
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// Something serialisable for a page.
pub fn value(of: &impl Serialize) -> Value {
    Value::from(Serde(of))
}

/// A page.
pub fn page(template: &str, visitor: Option<&Visitor>, own: Value) -> Response {
    let shown = visitor.map(|one| value(&one.shown()));
    let here = visitor.map(|one| one.here.clone());
    let rendered = environment().map_err(|error| format!("{error:#}")).and_then(|all| {
        let template = all.get_template(template).map_err(|error| format!("{error:#}"))?;
        let values = context! { visitor => shown, here => here, ..own };
        template.render(values).map_err(|error| format!("{error:#}"))
    });
    match rendered {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(error, template, "a page could not be made");
            let words = "this page could not be made; the log of the service says why";
            (StatusCode::INTERNAL_SERVER_ERROR, words).into_response()
        }
    }
}

/// A refusal as a page.
pub fn refused(visitor: Option<&Visitor>, problem: &Problem) -> Response {
    let own = context! { problem => value(problem), title => problem.title.clone() };
    let mut response = page("base.html", visitor, own);
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn amounts_and_times_are_for_people() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1536 << 10), "1.5 MiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes(3 << 30), "3 GiB");
        assert_eq!(clock(1_764_447_295_123), "2025-11-29 20:14:55");
        assert_eq!(words(-5), "0.0 s");
    }

    #[test]
    fn only_the_web_is_linked() {
        assert_eq!(link("https://ci/x"), "https://ci/x");
        assert_eq!(link("javascript:alert(1)"), "");
        assert_eq!(encode("a/b c#\u{e9}"), "a%2Fb%20c%23%C3%A9");
    }

    #[test]
    fn all_templates_are_good() {
        environment().map(drop).unwrap();
    }
}
