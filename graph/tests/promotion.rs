//! Promotion against NumPy's own, for every pair of dtypes and every kind of literal.
//!
//! `data/promotion.py` writes the table.
// The helpers are tests as well.
#![allow(clippy::unwrap_used)]

use lazuli_graph::ops::MAP_OPS;
use lazuli_graph::{DType, Expr, MapOp, Scalar, Shape, Weak};
use std::collections::HashSet;

const TABLE: &str = include_str!("data/promotion.csv");

fn rows() -> impl Iterator<Item = [&'static str; 3]> {
    TABLE.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>().try_into().expect("three columns"))
}

fn weak(name: &str) -> Option<Weak> {
    match name {
        "weak_bool" => Some(Weak::Bool),
        "weak_int" => Some(Weak::Int),
        "weak_float" => Some(Weak::Float),
        _ => None,
    }
}

#[test]
fn the_table_is_complete() {
    let pairs: HashSet<[&str; 2]> = rows().map(|[l, r, _]| [l, r]).collect();
    assert_eq!(pairs.len(), DType::ALL.len() * (DType::ALL.len() + 3));
}

#[test]
fn dtypes_promote_as_numpy_does() {
    for [left, right, result] in rows() {
        let (left, result): (DType, DType) = (left.parse().unwrap(), result.parse().unwrap());
        match weak(right) {
            Some(weak) => assert_eq!(left.promote_weak(weak), result, "{left} with {weak:?}"),
            None => assert_eq!(left.promote(right.parse().unwrap()), result, "{left} with {right}"),
        }
    }
}

#[test]
fn expressions_promote_as_numpy_does() {
    for [left, right, result] in rows() {
        let (left, result): (DType, DType) = (left.parse().unwrap(), result.parse().unwrap());
        let array = |dtype| Expr::parameter(0, dtype, Shape::scalar());
        let other = match weak(right) {
            Some(kind) => Expr::literal(Scalar::one(kind.default_dtype())),
            None => array(right.parse().unwrap()),
        };
        for operands in [[array(left), other.clone()], [other.clone(), array(left)]] {
            let sum = Expr::map(MapOp::Add, &operands).unwrap();
            assert_eq!(sum.dtype(), result, "{left} + {right}");
            assert_eq!(sum.weak(), None);
        }
    }
}

/// What the result's dtype is by the op table, as `data/results.py` writes it.
fn result(op: MapOp, dtype: DType) -> String {
    op.row().rule.apply(dtype).map_or("none".to_owned(), |(_, result)| result.to_string())
}

#[test]
fn results_have_the_dtypes_numpy_gives_them() {
    let mut wrong = Vec::new();
    let mut seen = HashSet::new();
    for line in include_str!("data/results.csv").lines().skip(1) {
        let [name, dtype, numpy] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let op = MapOp::from_name(name).unwrap_or_else(|| panic!("{name} is no op"));
        seen.insert(op);
        let ours = result(op, dtype.parse().unwrap());
        if ours != numpy {
            wrong.push(format!("{name} of {dtype}: {ours}, NumPy {numpy}"));
        }
    }
    let missing: Vec<_> = MAP_OPS.iter().filter(|row| !seen.contains(&row.op)).map(|row| row.name).collect();
    assert_eq!(missing, ["sigmoid", "erf", "erfc"], "these NumPy lacks");
    for (name, dtype) in missing.iter().flat_map(|name| DType::ALL.map(|dtype| (name, dtype))) {
        let op = MapOp::from_name(name).unwrap();
        assert_eq!(result(op, dtype), result(MapOp::Exp, dtype), "{name} of {dtype}");
    }
    // NumPy's floor, ceil and trunc leave bool as it is, its round does not. Here, all four do.
    assert_eq!(wrong, ["round of bool: bool, NumPy float16"]);
}
