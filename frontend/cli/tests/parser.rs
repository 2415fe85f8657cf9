//! The parser against Python's, its errors, its limits, and arbitrary text.
#![allow(clippy::unwrap_used)]

use lazuli_cli::lang::{MAX_DEPTH, MAX_NODES, MAX_SOURCE, parse};
use proptest::prelude::*;

fn explicit(text: &str) -> String {
    let program = parse("test", text).unwrap_or_else(|e| panic!("{text}: {e}"));
    program.explicit(program.statements()[0].value)
}

#[test]
fn precedence_is_pythons() {
    let table = include_str!("data/precedence.txt");
    let lines: Vec<&str> = table.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(lines.len() > 600);
    for pair in lines.chunks_exact(2) {
        assert_eq!(explicit(pair[0]), pair[1].trim(), "{}", pair[0]);
    }
}

#[test]
fn what_is_made_explicit_parses_to_itself() {
    for pair in
        include_str!("data/precedence.txt").lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().chunks(2)
    {
        let once = explicit(pair[0]);
        assert_eq!(explicit(&once), once);
    }
    // A dot right behind a number would be a part of it.
    for (text, once) in [("1 . x", "(1).x"), ("1e30 .sum()", "(1e30).sum()"), ("(2).T", "(2).T")] {
        assert_eq!(explicit(text), once);
        assert_eq!(explicit(once), once);
    }
}

#[test]
fn statements_comments_and_continued_lines() {
    let text = "# relief\n\nz = elev + 1 # metres\n; x = z[\n  1:-1, # inner\n\n  0]; y \\\n = x.\\\nT\r\n\nw\n";
    let program = parse("test", text).unwrap();
    let shown: Vec<String> = program
        .statements()
        .iter()
        .map(|s| format!("{} := {}", s.target.as_ref().map_or("_", |t| &t.0), program.explicit(s.value)))
        .collect();
    assert_eq!(shown, ["z := (elev + 1)", "x := z[1:-1, 0]".replace("-1", "(-1)").as_str(), "y := x.T", "_ := w"]);
}

/// Message and help, one text.
fn fault(text: &str) -> String {
    parse("test.lz", text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn errors_show_the_place() {
    let cases = [
        ("y = x +", "expected an operand, found the end\n --> test.lz:1:8\n  |\n1 | y = x +\n  |        ^"),
        (
            "a b",
            "expected an operator or the end of the statement, found 'b'\n --> test.lz:1:3\n  |\n1 | a b\n  |   ^\n  = help: to multiply, write '*'; statements end with a new line or ';'",
        ),
        ("a = (1,\n  b[2)", "'[' is closed by ')'\n --> test.lz:2:4\n  |\n2 |   b[2)\n  |    ^^^"),
        ("x\nf(1, 2", "'(' is never closed\n --> test.lz:2:2\n  |\n2 | f(1, 2\n  |  ^"),
        ("a)", "nothing opens this ')'\n --> test.lz:1:2\n  |\n1 | a)\n  |  ^"),
        (
            "a and b",
            "'and' is not part of the language\n --> test.lz:1:3\n  |\n1 | a and b\n  |   ^^^\n  = help: write '&' between parenthesized comparisons, or logical_and(a, b)",
        ),
        (
            "not a",
            "'not' is not part of the language\n --> test.lz:1:1\n  |\n1 | not a\n  | ^^^\n  = help: write '~' before a parenthesized comparison, or logical_not(a)",
        ),
        (
            "a && b",
            "expected an operator or the end of the statement, found '&&'\n --> test.lz:1:3\n  |\n1 | a && b\n  |   ^^\n  = help: write '&', with comparisons in parentheses",
        ),
        (
            "2x",
            "this is not a number\n --> test.lz:1:1\n  |\n1 | 2x\n  | ^^\n  = help: a name cannot begin with a digit; to multiply, write '*'",
        ),
        ("a ≤ b", "unexpected character '≤'\n --> test.lz:1:3\n  |\n1 | a ≤ b\n  |   ^\n  = help: write '<='"),
        ("f('abc", "a string is never closed\n --> test.lz:1:3\n  |\n1 | f('abc\n  |   ^^^^"),
        (
            "x += 1",
            "expected an operator or the end of the statement, found '+='\n --> test.lz:1:3\n  |\n1 | x += 1\n  |   ^^\n  = help: write it out: x = x + 1",
        ),
        (
            "x[0] = 1",
            "expected an operator or the end of the statement, found '='\n --> test.lz:1:6\n  |\n1 | x[0] = 1\n  |      ^\n  = help: compare with '=='; a statement gives a value one name: name = value",
        ),
        ("a[]", "expected an index, found ']'\n --> test.lz:1:3\n  |\n1 | a[]\n  |   ^"),
        (
            "(a + b)(c)",
            "this cannot be called\n --> test.lz:1:1\n  |\n1 | (a + b)(c)\n  | ^^^^^^^\n  = help: only functions and methods take arguments; to multiply, write '*'",
        ),
        ("1j", "complex numbers are not supported\n --> test.lz:1:1\n  |\n1 | 1j\n  | ^^"),
        ("", "there is nothing to evaluate\n --> test.lz:1:1\n  |\n1 |\n  | ^"),
    ];
    for (text, shown) in cases {
        assert_eq!(fault(text), shown, "{text}");
    }
}

#[test]
fn what_is_no_program() {
    for text in [
        "+",
        "a +* b",
        "f(",
        "f(a b)",
        "f(a=)",
        "f(,)",
        "(,)",
        "[,]",
        "a[1 2]",
        "a[1:2:3:4]",
        "a.",
        "a.1",
        ".",
        "= 1",
        "a =",
        "a = = b",
        "a ** ",
        "a <",
        "a < > b",
        "a; ) ; b",
        "{1}",
        "a ? b",
        "$a",
        "007",
        "0x",
        "1__0",
        "1_",
        "0b12",
        "1e",
        "1e+",
        "1.2.3",
        "if",
        "x = y = 1",
        "a, b = 1",
        "lambda: 1",
        "a if b else c",
        "a := 1",
        "a\\b",
        "\"a'",
        "1 = x",
        "99999999999999999999999999999999999999999999",
    ] {
        assert!(parse("test", text).is_err(), "{text}");
    }
}

#[test]
fn limits_hold() {
    // On a small stack, for that is where a limit too high would show.
    let run = || {
        let deep = |open: &str, close: &str, n: usize| format!("{}x{}", open.repeat(n), close.repeat(n));
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("f(", ")"),
            ("x.f(k=", ")"),
            ("x[", "]"),
            ("x[:", "]"),
            ("-", ""),
            ("2**", ""),
            ("~-", ""),
        ] {
            for n in [MAX_DEPTH + 1, 1000, 100_000] {
                let error = parse("test", &deep(open, close, n)).unwrap_err();
                assert!(error.message().contains("nests deeper"), "{error}");
                assert!(error.to_string().len() < 2000);
            }
            parse("test", &deep(open, close, MAX_DEPTH / 2)).unwrap();
        }
        // The deepest recursion a level can have.
        let worst = deep("a<b|c^d&e<<f+g*-h**(", ")", MAX_DEPTH);
        assert!(parse("test", &worst).unwrap_err().message().contains("nests deeper"));
        parse("test", &deep("a<b|c^d&e<<f+g*-h**(", ")", MAX_DEPTH / 3 - 1)).unwrap();
        parse("test", &deep("a<b|c^d&e<<f+g*h[i,f(", ")]", MAX_DEPTH / 2)).unwrap();
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();

    // Left-leaning chains do not nest.
    parse("test", &format!("x{}", "+x".repeat(MAX_NODES / 2 - 1))).unwrap();
    parse("test", &format!("x{}", ".T".repeat(50_000))).unwrap();
    assert!(parse("test", &format!("x{}", "+x".repeat(MAX_NODES / 2))).unwrap_err().message().contains("more than"));
    assert!(parse("test", &"x;".repeat(MAX_NODES + 1)).unwrap_err().message().contains("more than"));
    let blank = " ".repeat(MAX_SOURCE);
    assert!(parse("test", &format!("{blank}x")).unwrap_err().message().contains("bytes"));
    parse("test", &format!("{}x", &blank[1..])).unwrap();
}

const SOUP: &[&str] = &[
    "x",
    "y",
    "f",
    "sin",
    "where",
    "mean",
    "axis",
    "np",
    "1",
    "2.5",
    "0x1f",
    "1e-3",
    "'float32'",
    "None",
    "True",
    "pi",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "@",
    "**",
    "<<",
    ">>",
    "&",
    "|",
    "^",
    "~",
    "<",
    "<=",
    "==",
    "!=",
    "=",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    "[",
    "]",
    ",",
    ",",
    ":",
    ".",
    "...",
    ";",
    "\n",
    "#",
    "\\",
    "and",
    "not",
    "&&",
    "{",
    "!",
    "é",
    "日",
    "\u{0}",
    "\t",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any text either parses or has an error that prints.
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        if let Err(error) = parse("any", &text) {
            prop_assert!(error.to_string().contains('^'));
        }
    }

    #[test]
    fn token_soup_never_panics(tokens in prop::collection::vec(prop::sample::select(SOUP), 0..40), spaced: bool) {
        let text = tokens.join(if spaced { " " } else { "" });
        match parse("any", &text) {
            Err(error) => prop_assert!(error.to_string().contains('^')),
            Ok(program) => {
                // What parses, parses to the same when every operation is in parentheses.
                let once = program.explicit(program.statements()[0].value);
                let again = parse("again", &once).unwrap();
                prop_assert_eq!(again.explicit(again.statements()[0].value), once);
            }
        }
    }
}
