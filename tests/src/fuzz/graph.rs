//! The text form of a graph.

use super::Target;
use lazuli_graph::passes::{Options, PassSet, optimize};
use lazuli_graph::{DType, Graph, Op, Scalar, verify};
use lazuli_jit::Precision;

pub(super) const TARGET: Target = Target { name: "parse_graph", run, seeds, words: WORDS };

const WORDS: &[&str] = &[
    "%0", "%1", "%2", " = ", "input ", "const ", "iota", "cast ", "view ", "reshape ", "sum ", "cumsum ", "matmul ",
    "where ", "add ", "exp ", " : ", "f64", "bool", "i8", "bf16", "[]", "[3]", "[2, 3]", "[0]", "[d0*2+1]", "axes=[0]",
    "axis=0", "return ", "\n", ", ", "nan", "inf", "-0.0", ";", "#",
];

/// What parses prints, and what is printed parses to the same. What the verifier lets through can be optimized, and
/// stays right.
fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(graph) = Graph::parse(text) else { return };
    let printed = graph.to_string();
    let again = match Graph::parse(&printed) {
        Ok(again) => again,
        Err(e) => panic!("what was printed does not parse: {e}\n{printed}"),
    };
    assert_eq!(again.to_string(), printed);
    if verify(&graph).is_err() {
        return;
    }
    for precision in [Precision::Standard, Precision::Fast] {
        let loose = precision == Precision::Fast;
        let options = Options { disabled: PassSet::NONE, loose, verify: true, explain: true };
        let evaluate = |op: &Op, operand: DType, result: DType, args: &[Scalar]| {
            lazuli_engine::evaluate(op, operand, result, args, precision)
        };
        if let Err(e) = optimize(&mut again.clone(), &options, &evaluate) {
            panic!("{precision}: {e}\n{printed}");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "%0 = input 0 : f64[1000]\n%1 = const 2.0 : f64[1000]\n%2 = multiply %0, %1 : f64[1000]\n\
         %3 = view %2 [d0*2+1] : f64[499]\n%4 = sum %3 axes=[0] : f64[]\nreturn %4",
        "%x = input 0 : f32[2, 3]\n%t = view %x [d1, d0] : f32[3, 2]\n%m = matmul %x, %t : f32[2, 2]\nreturn %m, %t",
        "%0 = iota : i64[4]\n%1 = cast %0 : u8[4]\n%2 = cumsum %0 axis=0 : i64[4]\n%3 = reshape %1 : u8[2, 2]\nreturn %2, %3",
        "%c = const true : bool[]\n%a = const -1 : i8[]\n%b = const 7 : i8[]\n%w = where %c, %a, %b : i8[]  ; a choice\nreturn %w",
        "%0 = input 0 : f16[5]\n%1 = const nan : f16[5]\n%2 = less %0, %1 : bool[5]\n%3 = logical_not %2 : bool[5]\n\
         %4 = argmax %0 axes=[0] : i64[]\nreturn %3, %4",
        "%0 = input 0 : f32[4, 3]\n%1 = negative %0 : f32[4, 3]\n%2 = const 3.0 : f32[4, 3]\n%3 = divide %1, %2 : f32[4, 3]\n\
         %4 = sum %3 axes=[1] : f32[4]\n%5 = view %4 [d0] : f32[4, 3]\n%6 = divide %3, %5 : f32[4, 3]\nreturn %6",
    ];
    texts.iter().map(|t| t.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_valid() {
        for seed in seeds() {
            let text = String::from_utf8(seed).unwrap();
            let graph = Graph::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            verify(&graph).unwrap_or_else(|e| panic!("{e}\n{text}"));
        }
    }
}
