//! Object streams as text for reports, nested user streams included.

use std::fmt::Write as _;

use java_object_stream::{Content, Items, Node, ObjectId, Stored, Value};

use crate::compare::show;
use crate::wire;

/// The most lines of one dump.
const MOST_LINES: usize = 120;

/// A command as text; stack traces and where it was made are left out.
#[must_use]
pub fn command(bytes: &[u8]) -> String {
    let mut out = String::new();
    match wire::parse(bytes) {
        Ok(graph) => match graph.root() {
            Ok(root) => value(&mut out, root, 0, &mut Vec::new()),
            Err(problem) => out = problem.to_string(),
        },
        Err(problem) => out = format!("{} bytes that are no object stream: {problem}", bytes.len()),
    }
    if out.lines().count() > MOST_LINES {
        out = out.lines().take(MOST_LINES).collect::<Vec<_>>().join("\n") + "\n…\n";
    }
    out
}

fn value(out: &mut String, node: Node<'_>, depth: usize, path: &mut Vec<ObjectId>) {
    let pad = "  ".repeat(depth);
    let Some(id) = node.id() else {
        let _ = writeln!(out, "{pad}{}", show(node));
        return;
    };
    if path.contains(&id) || depth > 40 {
        let _ = writeln!(out, "{pad}-> {}", node.describe());
        return;
    }
    path.push(id);
    match node.stored() {
        Some(Stored::Instance(instance)) => {
            let suid = node.class_desc().map(|desc| desc.suid).unwrap_or_default();
            let _ = writeln!(out, "{pad}{} ({suid})", node.describe());
            for (name, field) in node.fields() {
                if matches!(&*name, "createdAt" | "stackTrace" | "suppressedExceptions" | "origin")
                {
                    continue;
                }
                let _ = write!(out, "{pad}  {name} =");
                inline(out, field, depth + 2, path);
            }
            for content in instance.levels.iter().filter_map(|level| level.extra.as_ref()).flatten()
            {
                match content {
                    Content::Block(block) => {
                        let _ = writeln!(out, "{pad}  block {block:02x?}");
                    }
                    Content::Value(inner) => value(out, node.at(*inner), depth + 1, path),
                    _ => {}
                }
            }
        }
        Some(Stored::Array(array)) => match &array.items {
            Items::Bytes(bytes) if bytes.starts_with(b"\xac\xed\x00\x05") => {
                let _ = writeln!(out, "{pad}stream of {} bytes:", bytes.len());
                if let Ok(graph) = wire::parse(bytes)
                    && let Ok(root) = graph.root()
                {
                    value(out, root, depth + 1, &mut Vec::new());
                }
            }
            Items::Bytes(bytes) => {
                let text =
                    String::from_utf8_lossy(bytes.get(..bytes.len().min(200)).unwrap_or_default());
                let _ = writeln!(out, "{pad}{} bytes {text:?}", bytes.len());
            }
            Items::Values(items) => {
                let _ = writeln!(out, "{pad}{} of {}", node.describe(), items.len());
                for item in items {
                    value(out, node.at(*item), depth + 1, path);
                }
            }
            other => {
                let _ = writeln!(out, "{pad}{other:?}");
            }
        },
        Some(Stored::Enum { .. }) => {
            let name = node.enum_constant().unwrap_or_default();
            let _ = writeln!(out, "{pad}{}.{name}", node.describe());
        }
        _ => {
            let _ = writeln!(out, "{pad}{}", show(node));
        }
    }
    path.pop();
}

/// A field's value: simple ones on the field's line.
fn inline(out: &mut String, node: Node<'_>, depth: usize, path: &mut Vec<ObjectId>) {
    let simple = !matches!(node.value(), Value::Object(_)) || node.as_str().is_some();
    if simple {
        let _ = writeln!(out, " {}", show(node));
    } else {
        out.push('\n');
        value(out, node, depth, path);
    }
}
