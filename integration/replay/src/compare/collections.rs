//! Collections: lists in order, sets and hash maps without one.

use java_object_stream::Node;

use super::{Comparison, Difference, show};
use crate::tolerances;

impl Comparison<'_, '_> {
    /// Compares collections of the JDK. Whether it was one.
    pub(super) fn collection(&mut self, expected: Node<'_>, actual: Node<'_>) -> bool {
        match expected.class_name().as_deref() {
            Some("java.util.ArrayList") => {
                let size = |node: Node<'_>| node.read_field::<i32>("size").ok();
                if size(expected) != size(actual) {
                    self.differ(
                        format!("size {:?}", size(expected)),
                        format!("{:?}", size(actual)),
                    );
                }
                let (Ok(left), Ok(right)) = (expected.elements(), actual.elements()) else {
                    self.differ("a list", "a broken one");
                    return true;
                };
                if tolerances::is_scanned(&left) {
                    self.unordered(&pack(&left), &pack(&right));
                } else {
                    self.ordered(&left, &right);
                }
            }
            Some("java.util.HashSet" | "java.util.LinkedHashSet") => {
                let (Ok(left), Ok(right)) = (expected.elements(), actual.elements()) else {
                    self.differ("a set", "a broken one");
                    return true;
                };
                self.unordered(&pack(&left), &pack(&right));
            }
            Some(
                "java.util.HashMap"
                | "java.util.LinkedHashMap"
                | "java.util.Hashtable"
                | "java.util.Properties",
            ) => {
                let (Ok(left), Ok(right)) = (expected.entries(), actual.entries()) else {
                    self.differ("a map", "a broken one");
                    return true;
                };
                let left: Vec<Vec<Node<'_>>> =
                    left.into_iter().map(|(key, value)| vec![key, value]).collect();
                let right: Vec<Vec<Node<'_>>> =
                    right.into_iter().map(|(key, value)| vec![key, value]).collect();
                self.unordered(&left, &right);
            }
            _ => return false,
        }
        true
    }

    fn ordered(&mut self, left: &[Node<'_>], right: &[Node<'_>]) {
        if left.len() != right.len() {
            self.differ(
                format!("{} elements {left:?}", left.len()),
                format!("{} {right:?}", right.len()),
            );
        }
        for (index, (left, right)) in left.iter().zip(right).enumerate() {
            self.at(format!("[{index}]"), |this| this.node(*left, *right));
        }
    }

    /// Finds for each expected element another one that is equal to it.
    fn unordered(&mut self, left: &[Vec<Node<'_>>], right: &[Vec<Node<'_>>]) {
        let mut rest: Vec<&Vec<Node<'_>>> = right.iter().collect();
        for wanted in left {
            let mut nearest: Option<Vec<Difference>> = None;
            let found = rest.iter().position(|candidate| {
                let differences = self.try_match(wanted, candidate);
                let hit = differences.is_empty();
                if nearest.as_ref().is_none_or(|nearest| differences.len() < nearest.len()) {
                    nearest = Some(differences);
                }
                hit
            });
            match found {
                Some(index) => {
                    rest.remove(index);
                }
                None => {
                    let wanted: Vec<String> = wanted.iter().map(|node| show(*node)).collect();
                    let detail =
                        nearest.and_then(|nearest| nearest.first().map(ToString::to_string));
                    self.differ(
                        format!("an element {}", wanted.join(" = ")),
                        format!(
                            "none like it ({})",
                            detail.unwrap_or_else(|| "no elements left".to_owned())
                        ),
                    );
                }
            }
        }
        for extra in rest {
            let extra: Vec<String> = extra.iter().map(|node| show(*node)).collect();
            self.differ("no further element", extra.join(" = "));
        }
    }

    /// The differences between two elements, without keeping anything of the comparison.
    fn try_match(&mut self, wanted: &[Node<'_>], candidate: &[Node<'_>]) -> Vec<Difference> {
        let mapping = self.context.mapping.clone();
        let seen = self.seen.clone();
        let before = std::mem::take(&mut self.differences);
        for (wanted, candidate) in wanted.iter().zip(candidate) {
            self.node(*wanted, *candidate);
        }
        let found = std::mem::replace(&mut self.differences, before);
        if !found.is_empty() {
            *self.context.mapping = mapping;
            self.seen = seen;
        }
        found
    }
}

fn pack<'g>(nodes: &[Node<'g>]) -> Vec<Vec<Node<'g>>> {
    nodes.iter().map(|node| vec![*node]).collect()
}
