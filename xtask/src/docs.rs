//! `docs`: the op reference, generated from the op table.

use crate::shell::{Outcome, read, root, write};
use lazuli_graph::ops::{MAP_OPS, REDUCE_OPS, Rule, SCAN_OPS};
use std::path::PathBuf;

fn page() -> PathBuf {
    root().join("docs").join("reference.md")
}

/// Writes the reference, or checks that it is what it would write.
pub(crate) fn run(args: &[String]) -> Outcome {
    match args {
        [] => write(&page(), &reference()),
        [arg] if arg == "--check" => check(),
        _ => Err("usage: cargo xtask docs [--check]".to_owned()),
    }
}

fn check() -> Outcome {
    match read(&page())? == reference() {
        true => Ok(()),
        false => Err("docs/reference.md is stale: run cargo xtask docs".to_owned()),
    }
}

/// What a rule means, for the reader.
fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Same => "any → same",
        Rule::Number => "number → same",
        Rule::Float => "any → float",
        Rule::Divide => "any → float, integers to `float64`",
        Rule::Compare => "any → `bool`",
        Rule::Logical => "truth of any → `bool`",
        Rule::Bits => "`bool`, integer → same",
        Rule::Shift => "integer → same",
        Rule::Integral => "any → same, `bool` to `int8`",
        Rule::Select => "`bool`, any, any → same",
    }
}

/// Lower case words separated by `_`.
fn aliases(names: &[&str]) -> String {
    names.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")
}

/// Text in a table: a bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn reference() -> String {
    let mut out = String::from(
        "<!-- Written by `cargo xtask docs` from graph/src/ops.rs: change it there. -->\n\
         # Operations\n\n\
         Names and meanings are NumPy's. Operands broadcast and promote before the operation is applied. The column\n\
         *dtypes* says what the operation takes and gives; \"float\" widens integers to the float that holds them\n\
         (`int8` to `float16`, `int16` to `float32`, wider ones to `float64`). The column *ULP* is the largest error\n\
         allowed in the precision `Standard`, in units in the last place of `float64` and `float32`; 0 is exact.\n\n\
         ## Elementwise\n\n\
         | name | also | operator | operands | dtypes | ULP | meaning |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for r in MAP_OPS {
        out += &format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            r.name,
            aliases(r.aliases),
            r.symbol.map(|s| format!("`{}`", cell(s))).unwrap_or_default(),
            r.arity,
            rule(r.rule),
            r.ulp,
            cell(r.doc)
        );
    }
    out += "\n## Reductions\n\n\
            Along any axes, with or without `keepdims`. The column *empty* says what comes of no elements.\n\n\
            | name | also | empty | meaning |\n|---|---|---|---|\n";
    for r in REDUCE_OPS {
        let empty = if r.needs_element { "error" } else { "identity" };
        out += &format!("| `{}` | {} | {empty} | {} |\n", r.name, aliases(r.aliases), cell(r.doc));
    }
    out += "\nOf these are made `mean`, `var`, `std` and `count_nonzero`.\n\n\
            ## Scans\n\n\
            Along one axis; the shape stays.\n\n\
            | name | also | meaning |\n|---|---|---|\n";
    for r in SCAN_OPS {
        out += &format!("| `{}` | {} | {} |\n", r.name, aliases(r.aliases), cell(r.doc));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn reference_is_fresh() {
        super::check().expect("docs/reference.md is what the op table says");
    }
}
