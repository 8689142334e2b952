//! The log of a build as text that is safe to look at: no escape sequences, no control characters.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};

use super::visitor::Visitor;
use crate::service::api::handlers;
use crate::service::api::routed::LogQuery;
use crate::service::state::Service;
use crate::text::turns_text;

/// Bytes of an escape sequence after which it is taken for text: real ones are short.
const SEQUENCE: usize = 256;

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Where the next one begins.
    pub next: u64,
    /// The attempt that it is of; 0 while there is none.
    pub attempt: i64,
    /// Whether more will come.
    pub more: bool,
}

/// A piece of the log of a build, as the operation of the API gives it, made safe.
pub async fn piece(
    service: &Arc<Service>,
    visitor: &Visitor,
    id: &str,
    query: LogQuery,
) -> Result<Piece, crate::service::problem::Problem> {
    let query = LogQuery { follow: false, ..query };
    let (service, who) = (State(Arc::clone(service)), visitor.authenticated());
    let response = handlers::get_log(service, who, Path(id.to_owned()), Query(query)).await?;
    let (parts, body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| header(name).and_then(|text| text.parse::<i64>().ok());
    let next = number("pilotfish-log-next").and_then(|next| u64::try_from(next).ok());
    let next = next.unwrap_or(query.offset);
    let more = header("pilotfish-log-more") == Some("true");
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    // What a controller hides in its log is not in its text, but counts.
    let is_plain = next == query.offset + bytes.len() as u64;
    let whole = if more && is_plain { complete(&bytes) } else { bytes.len() };
    Ok(Piece {
        text: clean(&String::from_utf8_lossy(&bytes[..whole])),
        next: next - (bytes.len() - whole) as u64,
        attempt: number("pilotfish-log-attempt").unwrap_or(0),
        more,
    })
}

pub async fn text(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Response {
    let piece = match piece(&service, &visitor, &id, query).await {
        Ok(piece) => piece,
        Err(problem) => return problem.into_response(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("pilotfish-log-next", HeaderValue::from(piece.next));
    headers.insert("pilotfish-log-attempt", HeaderValue::from(piece.attempt));
    let more = if piece.more { "true" } else { "false" };
    headers.insert("pilotfish-log-more", HeaderValue::from_static(more));
    (headers, Body::from(piece.text)).into_response()
}

/// How much of a piece can be shown while more comes: no half character or escape sequence at the end.
fn complete(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    if let Err(error) = std::str::from_utf8(&bytes[end.saturating_sub(4)..])
        && error.error_len().is_none()
    {
        end = end.saturating_sub(4) + error.valid_up_to();
    }
    let from = end.saturating_sub(SEQUENCE);
    if let Some(at) = bytes[from..end].iter().rposition(|byte| *byte == 0x1b) {
        let rest = String::from_utf8_lossy(&bytes[from + at + 1..end]);
        if sequence(&rest).is_none() {
            return from + at;
        }
    }
    end
}

/// The length of the escape sequence that goes on with this text; nothing where it has not ended.
/// ECMA-48: CSI ends with a byte from `@` to `~`; the strings of OSC, DCS, APC and PM with BEL or ST.
fn sequence(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    match first {
        '[' => {
            let end = text[1..].find(|one: char| ('@'..='~').contains(&one) || one < ' ')?;
            Some(end + 2)
        }
        ']' | 'P' | '_' | '^' | 'X' => {
            let end = text.find(['\u{7}', '\u{1b}', '\n'])?;
            let st = text[end..].starts_with("\u{1b}\\");
            Some(if st { end + 2 } else { end + usize::from(text.as_bytes()[end] == 7) })
        }
        ' '..='/' => Some(text.char_indices().nth(1).map_or(1, |(at, next)| at + next.len_utf8())),
        other => Some(other.len_utf8()),
    }
}

/// Text without escape sequences and control characters. A line that a program has drawn over is its last
/// state, as on a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '\u{1b}' => {
                let skipped = sequence(rest).unwrap_or(0);
                rest = rest.get(skipped..).unwrap_or("");
            }
            '\r' if rest.starts_with('\n') => {}
            '\r' => cleaned.truncate(cleaned.rfind('\n').map_or(0, |at| at + 1)),
            '\n' | '\t' => cleaned.push(first),
            other if other.is_control() || turns_text(other) => {}
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod unit {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_are_removed() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m plain"), "red plain");
        assert_eq!(clean("\u{1b}]8;;http://evil\u{7}link\u{1b}]8;;\u{1b}\\ end"), "link end");
        assert_eq!(clean("\u{1b}]0;title never ends\nnext"), "\nnext");
        assert_eq!(clean("a\u{1b}(Bb\u{1b}cc\u{0}\u{8}d"), "abcd");
        assert_eq!(clean("one\r\ntwo\r\n"), "one\ntwo\n");
        assert_eq!(clean("x\n 10%\r 20%\r100%\n"), "x\n100%\n");
        assert_eq!(clean("safe\u{202e}txt.exe"), "safetxt.exe");
        assert_eq!(clean("<script>alert(1)</script>"), "<script>alert(1)</script>");
    }

    #[test]
    fn a_piece_ends_before_what_is_not_whole() {
        assert_eq!(complete("ab\u{1b}[3".as_bytes()), 2);
        assert_eq!(complete("ab\u{1b}[31m".as_bytes()), 7);
        assert_eq!(complete("ab\u{1b}".as_bytes()), 2);
        assert_eq!(complete(&"aé".as_bytes()[..2]), 1);
        assert_eq!(complete("aé".as_bytes()), 3);
        assert_eq!(complete(b"a\xff"), 2, "what will never be whole is not waited for");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_text(text in "(\\PC|\u{1b}|\r|\n|\\[|;|m|\u{7}|\u{202e}){0,60}") {
            let cleaned = clean(&text);
            prop_assert!(cleaned.chars().all(|one| one == '\n' || one == '\t'
                || (!one.is_control() && !turns_text(one))));
            prop_assert!(complete(text.as_bytes()) <= text.len());
        }
    }
}
