//! The op table as JSON, for programs in other languages.

use crate::shell::{Outcome, no_args};
use lazuli_graph::DType;
use lazuli_graph::ops::{MAP_OPS, REDUCE_OPS, SCAN_OPS};
use std::fmt::Write;

/// Prints the table.
pub(crate) fn print(args: &[String]) -> Outcome {
    no_args("ops-json", args)?;
    print!("{}", json());
    Ok(())
}

/// The table: dtypes, elementwise ops, reductions, scans. One op a line.
pub(crate) fn json() -> String {
    let mut lines = Vec::new();
    lines.push(format!("\"dtypes\": {}", list(DType::ALL.iter().map(|d| quote(d.name())))));
    lines.push(section("map", MAP_OPS.iter().map(|r| {
        // The dtype of the result for each dtype the operands may meet in; null where the op has no meaning.
        let results = DType::ALL.iter().map(|&d| {
            let result = r.rule.apply(d).map_or("null".to_owned(), |(_, result)| quote(result.name()));
            format!("{}: {result}", quote(d.name()))
        });
        let results: Vec<_> = results.collect();
        format!(
            "{{\"name\": {}, \"aliases\": {}, \"arity\": {}, \"rule\": {}, \"ulp\": {:?}, \"domain\": [{:?}, {:?}], \"result\": {{{}}}}}",
            quote(r.name),
            list(r.aliases.iter().map(|a| quote(a))),
            r.arity,
            quote(&format!("{:?}", r.rule)),
            r.ulp,
            r.domain.0,
            r.domain.1,
            results.join(", ")
        )
    })));
    lines.push(section(
        "reduce",
        REDUCE_OPS.iter().map(|r| format!("{{\"name\": {}, \"needs_element\": {}}}", quote(r.name), r.needs_element)),
    ));
    lines.push(section("scan", SCAN_OPS.iter().map(|r| format!("{{\"name\": {}}}", quote(r.name)))));
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn section(name: &str, rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<_> = rows.map(|r| format!("  {r}")).collect();
    format!("\"{name}\": [\n{}\n]", rows.join(",\n"))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            // Writing to a string cannot fail.
            c if (c as u32) < 0x20 => write!(out, "\\u{:04x}", c as u32).unwrap_or_default(),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_stands_in_the_dump() {
        let json = json();
        let names = MAP_OPS.iter().map(|r| r.name).chain(REDUCE_OPS.iter().map(|r| r.name));
        for name in names.chain(SCAN_OPS.iter().map(|r| r.name)) {
            assert!(json.contains(&format!("{{\"name\": \"{name}\"")), "{name}");
        }
    }

    #[test]
    fn quotes() {
        assert_eq!(quote("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
