//! How much arithmetic a workload is.

use crate::workload::Workload;

/// What a function counts for: about the operations of a vectorized version that is right to a unit in the last place,
/// a fused multiplication and addition being two. Nominal, so that figures of different versions can be compared.
const FUNCTIONS: [(&str, f64); 6] =
    [("exp", 30.0), ("log", 35.0), ("sin", 45.0), ("cos", 45.0), ("tanh", 55.0), ("arcsin", 40.0)];

/// A power whose exponent is an array.
const POWER: f64 = 90.0;

/// Operations for each of the n elements: those of the workload's file, and its functions.
pub(crate) fn per_element(workload: &Workload) -> f64 {
    workload.flops + functions(&workload.formula)
}

fn functions(formula: &str) -> f64 {
    let words = formula.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '('));
    // A name is followed at once by its parenthesis.
    let names = words.flat_map(|word| word.split_inclusive('(')).filter_map(|word| word.strip_suffix('('));
    let cost = |name: &str| FUNCTIONS.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, cost)| *cost);
    let powers = formula.split("**").skip(1).filter(|rest| rest.trim_start().starts_with(char::is_alphabetic));
    names.map(cost).sum::<f64>() + powers.count() as f64 * POWER
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn functions_are_counted_where_they_are_called() {
        assert_eq!(functions("sin(x)*cos(y) + tanh(x*y)"), 45.0 + 45.0 + 55.0);
        assert_eq!(functions("sqrt(exp(exp(x)))"), 60.0);
        assert_eq!(functions("exp + expm1(x)"), 0.0);
        assert_eq!(functions("(x - y)**2"), 0.0);
        assert_eq!(functions("x**y + x ** exponent"), 180.0);
    }
}
