//! Streams as a whole: build output line by line, archives by their files, other bytes as they are.

use super::{Context, Difference, archive};
use crate::tolerances;

/// Compares everything that came on a stream, or on all streams of a durable task's log.
pub fn stream(
    context: &mut Context<'_>,
    title: &str,
    script: Option<&str>,
    expected: &[u8],
    actual: &[u8],
) -> Vec<Difference> {
    if let Some(differences) = archive::compare(context, title, expected, actual) {
        return differences;
    }
    match (std::str::from_utf8(expected), std::str::from_utf8(actual)) {
        (Ok(left), Ok(right)) => text(context, title, script, left, right),
        _ if expected == actual => Vec::new(),
        _ => vec![Difference {
            place: title.to_owned(),
            expected: format!("{} bytes", expected.len()),
            actual: first_difference(expected, actual),
        }],
    }
}

fn text(
    context: &Context<'_>,
    title: &str,
    script: Option<&str>,
    expected: &str,
    actual: &str,
) -> Vec<Difference> {
    let expected = context.mapping.text(expected);
    let (left, right): (Vec<&str>, Vec<&str>) =
        (expected.split('\n').collect(), actual.split('\n').collect());
    let right = tolerances::in_trace_order(&left, &right, script);
    let mut found = Vec::new();
    for at in 0..left.len().max(right.len()) {
        let (wanted, got) = (left.get(at), right.get(at));
        let fits = match (wanted, got) {
            (Some(wanted), Some(got)) => tolerances::line(context, wanted, got),
            _ => false,
        };
        if !fits {
            let show = |line: Option<&&str>| {
                line.map_or_else(|| "no such line".to_owned(), |line| cut(line))
            };
            found.push(Difference {
                place: format!("{title}, line {}", at + 1),
                expected: show(wanted),
                actual: show(got),
            });
        }
    }
    found.truncate(5);
    found
}

fn cut(line: &str) -> String {
    let end = line.char_indices().nth(300).map_or(line.len(), |(at, _)| at);
    format!("{:?}{}", line.get(..end).unwrap_or(line), if end < line.len() { "…" } else { "" })
}

fn first_difference(expected: &[u8], actual: &[u8]) -> String {
    let at = expected.iter().zip(actual).take_while(|(left, right)| left == right).count();
    format!("{} bytes that differ from byte {at} on", actual.len())
}
