//! Whole commands of the agent: answers, refusals, calls, and the ends of streams.

use java_object_stream::Node;

use super::{Comparison, Context, Difference};
use crate::wire;

/// Compares an answer with the recorded one.
pub fn answer(context: &mut Context<'_>, expected: &[u8], actual: &[u8]) -> Vec<Difference> {
    whole(context, "answer", expected, actual, |comparison, expected, actual| {
        comparison.node(expected, actual)
    })
}

/// Compares a call of an object of the controller, or another request of the agent: its payload.
pub fn call(context: &mut Context<'_>, expected: &[u8], actual: &[u8]) -> Vec<Difference> {
    whole(context, "request", expected, actual, |comparison, expected, actual| {
        match (expected.field("request"), actual.field("request")) {
            (Ok(expected), Ok(actual)) => comparison.node(expected, actual),
            _ => comparison.differ("a request with a payload", "none"),
        }
    })
}

/// Compares how a stream was closed: with the same error, or without.
pub fn end(context: &mut Context<'_>, expected: &[u8], actual: &[u8]) -> Vec<Difference> {
    whole(context, "end of stream", expected, actual, |comparison, expected, actual| {
        match (expected.field("error"), actual.field("error")) {
            (Ok(expected), Ok(actual)) => {
                comparison.at("error", |this| this.node(expected, actual))
            }
            _ => comparison.differ("an EOF with its error", "none"),
        }
    })
}

fn whole(
    context: &mut Context<'_>,
    place: &str,
    expected: &[u8],
    actual: &[u8],
    compare: impl FnOnce(&mut Comparison<'_, '_>, Node<'_>, Node<'_>),
) -> Vec<Difference> {
    let mut comparison = Comparison::new(context, place);
    match (wire::parse(expected), wire::parse(actual)) {
        (Ok(left), Ok(right)) => match (left.root(), right.root()) {
            (Ok(expected), Ok(actual)) => compare(&mut comparison, expected, actual),
            _ => comparison.differ("a command", "an empty stream"),
        },
        (_, Err(problem)) => comparison.differ("an object stream", problem),
        (Err(problem), _) => comparison.differ(problem, "an object stream"),
    }
    comparison.differences
}

/// Checks that an answer is the documented refusal of a class that only a JVM can run: an exception
/// that names the class and says what to do, raw (a `java.io.IOException`, or none) and as its
/// substitute.
#[must_use]
pub fn refusal(class: &str, actual: &[u8]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |place: &str, expected: &str, actual: String| {
        found.push(Difference { place: place.to_owned(), expected: expected.to_owned(), actual });
    };
    let graph = match wire::parse(actual) {
        Ok(graph) => graph,
        Err(problem) => {
            differ("refusal", "an object stream", problem.to_string());
            return found;
        }
    };
    let value = graph.root().and_then(|root| root.field("returnValue"));
    let kind =
        value.as_ref().ok().and_then(|value| value.class_name()).unwrap_or_default().into_owned();
    if kind != "hudson.remoting.UserRequest$ExceptionResponse" {
        let hint = if kind.ends_with("$NormalResponse") {
            "; if this class is answered natively now, take it off needs-jvm.txt"
        } else {
            ""
        };
        differ("refusal", "hudson.remoting.UserRequest$ExceptionResponse", format!("{kind}{hint}"));
        return found;
    }
    let payload = |field: &str| {
        value.as_ref().ok().and_then(|value| value.field(field).ok()).and_then(Node::as_bytes)
    };
    for (field, class_wanted, needed) in [
        ("rawResponse", "java.io.IOException", false),
        ("proxyResponse", "hudson.remoting.ProxyException", true),
    ] {
        let Some(bytes) = payload(field) else {
            if needed {
                differ(field, class_wanted, "null".to_owned());
            }
            continue;
        };
        let Ok(inner) = wire::parse(bytes) else {
            differ(field, class_wanted, "no object stream".to_owned());
            continue;
        };
        let Ok(thrown) = inner.root() else { continue };
        if !thrown.is_a(class_wanted) {
            differ(field, class_wanted, thrown.describe());
        }
        let message = thrown.read_field::<String>("detailMessage").unwrap_or_default();
        if !message.contains(class) {
            differ(field, &format!("a message that names {class}"), message.clone());
        }
        if !(message.contains("JVM") || message.contains("Java")) {
            differ(field, "a message that says that a JVM is needed", message);
        }
    }
    found
}

/// Whether an answer is a result and no exception.
#[must_use]
pub fn is_result(actual: &[u8]) -> bool {
    let Ok(graph) = wire::parse(actual) else { return false };
    let value = graph.root().and_then(|root| root.field("returnValue"));
    value.is_ok_and(|value| {
        value.class_name().as_deref() == Some("hudson.remoting.UserRequest$NormalResponse")
    })
}
