//! Objects of remoting, whose ids are the agent's choice, and throwables.

use java_object_stream::Node;

use super::{Comparison, show};
use crate::tolerances;
use crate::wire;

impl Comparison<'_, '_> {
    /// Compares objects that have a meaning of their own in remoting. Whether it was such a one.
    pub(super) fn remoting(&mut self, expected: Node<'_>, actual: Node<'_>) -> bool {
        match expected.class_name().as_deref() {
            Some("hudson.remoting.RemoteInvocationHandler") => self.handler(expected, actual),
            Some("hudson.remoting.RemoteOutputStream") => {
                self.bind(block_int(expected, 0), block_int(actual, 0));
            }
            Some("hudson.remoting.RemoteInputStream" | "hudson.remoting.Pipe") => {
                let (left, right) = (wire::block(expected), wire::block(actual));
                if left.first() != right.first() || left.len() != right.len() {
                    self.differ(format!("block data {left:02x?}"), format!("{right:02x?}"));
                } else if left.len() > 1 {
                    self.bind(block_int(expected, 1), block_int(actual, 1));
                }
            }
            _ if expected.is_a("java.lang.Throwable") => self.throwable(expected, actual),
            _ => return false,
        }
        true
    }

    fn handler(&mut self, expected: Node<'_>, actual: Node<'_>) {
        for field in ["autoUnexportByCaller", "goingHome", "userProxy", "userSpace"] {
            let (left, right) = (expected.field(field), actual.field(field));
            if let (Ok(left), Ok(right)) = (left, right) {
                self.at(field, |this| this.node(left, right));
            }
        }
        let (left, right) = (expected.read_field("oid").ok(), actual.read_field("oid").ok());
        if expected.read_field("goingHome").unwrap_or(false) {
            if left != right {
                self.differ(format!("the controller's object {left:?}"), format!("{right:?}"));
            }
        } else {
            self.bind(left, right);
        }
    }

    fn bind(&mut self, recorded: Option<i32>, actual: Option<i32>) {
        match (recorded, actual) {
            (Some(recorded), Some(actual)) => {
                if let Err(problem) = self.context.mapping.bind(recorded, actual) {
                    self.differ("an object id of its own", problem);
                }
            }
            (recorded, actual) => {
                self.differ(format!("object id {recorded:?}"), format!("{actual:?}"))
            }
        }
    }

    /// Compares class, message, cause, and the fields that its own class adds.
    fn throwable(&mut self, expected: Node<'_>, actual: Node<'_>) {
        let cause = |node: Node<'_>| {
            let cause = node.field("cause").ok().map(|cause| cause.value());
            // A throwable names itself as its cause as long as it has none.
            cause
                .filter(|cause| *cause != node.value() && *cause != java_object_stream::Value::Null)
        };
        match (cause(expected), cause(actual)) {
            (None, None) => {}
            (Some(left), Some(right)) => {
                self.at("cause", |this| this.node(expected.at(left), actual.at(right)));
            }
            (left, right) => {
                let name = |node: Node<'_>, cause: Option<java_object_stream::Value>| {
                    cause.map_or_else(|| "no cause".to_owned(), |cause| show(node.at(cause)))
                };
                let (left, right) = (name(expected, left), name(actual, right));
                self.at("cause", |this| this.differ(left, right));
            }
        }
        for (name, value) in expected.fields() {
            if tolerances::is_diagnostic(expected, &name) || name == "cause" {
                continue;
            }
            match actual.field(&name) {
                Ok(other) => self.at(name.as_ref(), |this| this.node(value, other)),
                Err(_) => self.at(name.as_ref(), |this| this.differ(show(value), "no such field")),
            }
        }
        // What is in the list means nothing, but a throwable without it takes no suppressed exceptions, and the controller
        // adds there from where it called.
        let listed =
            |node: Node<'_>| node.field("suppressedExceptions").is_ok_and(|list| !list.is_null());
        if listed(expected) && !listed(actual) {
            self.at("suppressedExceptions", |this| this.differ("a list", "null"));
        }
    }
}

fn block_int(node: Node<'_>, at: usize) -> Option<i32> {
    let block = wire::block(node);
    Some(i32::from_be_bytes(block.get(at..at + 4)?.try_into().ok()?))
}
