//! The parts that most conditions are made of, decided without the CEL engine: whether a parameter is
//! there, is true, is a certain text, or matches a glob. The engine wants a context with copies of all
//! values, which takes many times as long as the decision.
//!
//! Nothing here may differ from what the engine says: whatever is not plainly one of these parts, or has
//! another type than expected, is left to the engine.

use std::collections::BTreeMap;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;

use super::Facts;
use super::facts::glob_matches;

pub(super) struct Quick<'q> {
    pub facts: &'q Facts<'q>,
    pub matrix: &'q BTreeMap<String, Value>,
}

impl Quick<'_> {
    /// Whether an expression is true; `None` where the engine has to tell.
    pub fn decide(&self, one: &IdedExpr) -> Option<bool> {
        match &one.expr {
            Expr::Call(call) if call.target.is_none() => {
                match (call.func_name.as_str(), call.args.as_slice()) {
                    (operators::LOGICAL_AND, [left, right]) => self.both(left, right, false),
                    (operators::LOGICAL_OR, [left, right]) => self.both(left, right, true),
                    (operators::LOGICAL_NOT, [inner]) => self.decide(inner).map(|is| !is),
                    (operators::EQUALS, [left, right]) => {
                        Some(self.text(left)? == self.text(right)?)
                    }
                    (operators::NOT_EQUALS, [left, right]) => {
                        Some(self.text(left)? != self.text(right)?)
                    }
                    ("glob", [text, pattern]) => {
                        Some(glob_matches(self.text(text)?, self.text(pattern)?))
                    }
                    _ => None,
                }
            }
            Expr::Ident(name) if name == "is_pull_request" => {
                Some(self.facts.known.is_pull_request())
            }
            Expr::Select(select) if select.test => match &select.operand.expr {
                Expr::Ident(name) => Some(self.map(name)?.contains_key(&select.field)),
                _ => None,
            },
            Expr::Select(_) => self.member(one)?.as_bool(),
            Expr::Literal(LiteralValue::Boolean(is)) => Some(*is.inner()),
            _ => None,
        }
    }

    /// `&&` and `||`: one side that decides is enough, whatever the other one comes to.
    fn both(&self, left: &IdedExpr, right: &IdedExpr, decides: bool) -> Option<bool> {
        let left = self.decide(left);
        if left == Some(decides) {
            return left;
        }
        let right = self.decide(right)?;
        if right == decides { Some(right) } else { left }
    }

    fn map(&self, name: &str) -> Option<&BTreeMap<String, Value>> {
        match name {
            "params" => Some(self.facts.params),
            "matrix" => Some(self.matrix),
            _ => None,
        }
    }

    fn member(&self, one: &IdedExpr) -> Option<&Value> {
        let Expr::Select(select) = &one.expr else { return None };
        let Expr::Ident(name) = &select.operand.expr else { return None };
        if select.test { None } else { self.map(name)?.get(&select.field) }
    }

    /// A value that is text.
    fn text<'e>(&'e self, one: &'e IdedExpr) -> Option<&'e str> {
        match &one.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
            Expr::Ident(name) => self.facts.known.text(name),
            Expr::Select(_) => self.member(one)?.as_str(),
            _ => None,
        }
    }
}
