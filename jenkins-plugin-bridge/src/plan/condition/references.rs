//! What a condition speaks of: variables, functions, parameters, axes, results.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// What a condition speaks of.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct References {
    /// Variables at the top: `params`, `branch`.
    pub variables: BTreeSet<String>,
    /// Functions that are called.
    pub functions: BTreeSet<String>,
    /// Parameters: `params.deploy`.
    pub params: BTreeSet<String>,
    /// Axes: `matrix.php`.
    pub axes: BTreeSet<String>,
    /// Stages whose results are asked for.
    pub results: BTreeSet<String>,
    /// Outputs that are asked for: stage and name.
    pub outputs: BTreeSet<(String, String)>,
    /// Variables that are not only asked for members by name: `size(params)`, `params[branch]`.
    pub whole: BTreeSet<String>,
}

/// What a condition speaks of.
pub(super) fn references(expression: &IdedExpr) -> References {
    let mut found = References::default();
    collect(expression, &mut Vec::new(), &mut found);
    found
}

fn collect(expression: &IdedExpr, local: &mut Vec<String>, found: &mut References) {
    match &expression.expr {
        Expr::Ident(name) => {
            if !local.contains(name) && !name.starts_with('@') {
                found.variables.insert(name.clone());
                found.whole.insert(name.clone());
            }
        }
        Expr::Select(select) => {
            if !output(&select.operand, &select.field, local, found)
                && !member(&select.operand, &select.field, local, found)
            {
                collect(&select.operand, local, found);
            }
        }
        Expr::Call(call) => {
            if call.func_name == operators::INDEX
                && let [operand, index] = call.args.as_slice()
                && let Expr::Literal(LiteralValue::String(text)) = &index.expr
                && (output(operand, text.inner(), local, found)
                    || member(operand, text.inner(), local, found))
            {
                return;
            }
            // Operators have names that nobody can write.
            if call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                found.functions.insert(call.func_name.clone());
            }
            if let Some(target) = &call.target {
                collect(target, local, found);
            }
            for argument in &call.args {
                collect(argument, local, found);
            }
        }
        Expr::Comprehension(all) => {
            collect(&all.iter_range, local, found);
            collect(&all.accu_init, local, found);
            let before = local.len();
            local.push(all.iter_var.clone());
            local.extend(all.iter_var2.clone());
            local.push(all.accu_var.clone());
            collect(&all.loop_cond, local, found);
            collect(&all.loop_step, local, found);
            collect(&all.result, local, found);
            local.truncate(before);
        }
        Expr::List(list) => list.elements.iter().for_each(|one| collect(one, local, found)),
        Expr::Map(map) => entries(map.entries.iter().map(|one| &one.expr), local, found),
        Expr::Struct(one) => entries(one.entries.iter().map(|one| &one.expr), local, found),
        Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entries<'e>(
    all: impl Iterator<Item = &'e EntryExpr>,
    local: &mut Vec<String>,
    found: &mut References,
) {
    for entry in all {
        match entry {
            EntryExpr::StructField(field) => collect(&field.value, local, found),
            EntryExpr::MapEntry(entry) => {
                collect(&entry.key, local, found);
                collect(&entry.value, local, found);
            }
        }
    }
}

/// Takes note of an output: `outputs.image.digest`, `outputs["build-image"].digest`.
fn output(operand: &IdedExpr, field: &str, local: &[String], found: &mut References) -> bool {
    let (inner, stage) = match &operand.expr {
        Expr::Select(select) if !select.test => (&*select.operand, select.field.as_str()),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [inner, index] => match &index.expr {
                Expr::Literal(LiteralValue::String(text)) => (inner, text.inner()),
                _ => return false,
            },
            _ => return false,
        },
        _ => return false,
    };
    if !matches!(&inner.expr, Expr::Ident(name) if name == "outputs" && !local.contains(name)) {
        return false;
    }
    found.outputs.insert((stage.to_owned(), field.to_owned()));
    found.variables.insert("outputs".to_owned());
    true
}

/// Takes note of a member of one of the variables that are maps; false for anything else.
fn member(operand: &IdedExpr, field: &str, local: &[String], found: &mut References) -> bool {
    let Expr::Ident(name) = &operand.expr else { return false };
    if local.contains(name) {
        return false;
    }
    let set = match name.as_str() {
        "params" => &mut found.params,
        "matrix" => &mut found.axes,
        "results" => &mut found.results,
        _ => return false,
    };
    set.insert(field.to_owned());
    found.variables.insert(name.clone());
    true
}
