//! Tokens to a [`Program`].
//!
//! ```text
//! program   = { [statement] newline }
//! statement = [name "="] tuple
//! tuple     = expression { "," expression } [","]
//! expression, by precedence: compare  |  ^  &  << >>  + -  * / // % @  prefix  **  postfix  atom
//! postfix   = atom { "." name [arguments] | "[" subscripts "]" }
//! atom      = number | string | name [arguments] | "..." | "(" tuple ")" | "[" items "]"
//! ```
//! Only three things recurse: brackets, prefix operators and the right side of `**`. Each counts towards
//! [`MAX_DEPTH`]; brackets do so in the lexer already.

use super::ast::*;
use super::error::{LangError, Problem, Source, Span};
use super::lex::{Kind, Stop, Token, lex, too_deep};
use super::{MAX_DEPTH, MAX_NODES};
use std::sync::Arc;
use winnow::combinator::{alt, opt, peek, preceded, repeat, separated, terminated};
use winnow::prelude::*;
use winnow::stream::{Stateful, TokenSlice};
use winnow::token::any;

/// What the parser builds, and how deep it is.
#[derive(Debug)]
struct State<'s> {
    text: &'s str,
    nodes: Vec<Node>,
    depth: usize,
}

/// Tokens borrow the text, so the shorter of the two lives does for both.
type Input<'s> = Stateful<TokenSlice<'s, Token<'s>>, State<'s>>;
type Parsed<T> = Result<T, Stop>;

/// Reads a program; `name` is what errors call it.
///
/// # Errors
/// Text that is no program, or beyond the limits of [`super`].
///
/// ```
/// let program = lazuli_cli::lang::parse("demo", "y = x**2 + 1; y.mean(axis=0)")?;
/// assert_eq!(program.statements().len(), 2);
/// # Ok::<(), lazuli_cli::lang::LangError>(())
/// ```
pub fn parse(name: &str, text: &str) -> Result<Program, LangError> {
    let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
    let parsed = lex(&source.text).and_then(|tokens| {
        let state = State { text: &source.text, nodes: Vec::new(), depth: 0 };
        let mut input = Stateful { input: TokenSlice::new(&tokens), state };
        let statements = program(&mut input).map_err(|stop| match stop {
            Stop::Fault(problem) => *problem,
            Stop::Miss => unexpected(&input, "a statement"),
        })?;
        Ok((input.state.nodes, statements))
    });
    match parsed {
        Ok((nodes, statements)) => Ok(Program { source, nodes, statements }),
        Err(problem) => Err(problem.in_source(&source)),
    }
}

fn next<'s>(i: &Input<'s>) -> Token<'s> {
    let end = i.state.text.len();
    i.input.first().copied().unwrap_or(Token { kind: Kind::End, span: Span { start: end, end } })
}

/// What to write instead of a Python keyword.
fn keyword_help(name: &str) -> Option<&'static str> {
    Some(match name {
        "and" => "write '&' between parenthesized comparisons, or logical_and(a, b)",
        "or" => "write '|' between parenthesized comparisons, or logical_or(a, b)",
        "not" => "write '~' before a parenthesized comparison, or logical_not(a)",
        "if" | "else" => "choose by element with where(condition, a, b)",
        "is" => "compare with '=='",
        "in" | "for" | "while" | "lambda" | "def" | "class" | "return" | "import" | "from" | "with" | "del"
        | "yield" | "try" | "pass" | "raise" | "assert" | "async" | "await" | "global" | "break" | "continue" => {
            "a program is a list of expressions and assignments, with the functions of NumPy"
        }
        _ => return None,
    })
}

/// The error of a token that cannot stand where it stands.
fn unexpected(i: &Input<'_>, expected: &str) -> Problem {
    let token = next(i);
    let text = &i.state.text[token.span.start..token.span.end];
    if let Kind::Name(name) = token.kind
        && let Some(help) = keyword_help(name)
    {
        return Problem::new(format!("'{name}' is not part of the language"), token.span).help(help);
    }
    let help = match token.kind {
        Kind::Symbol("&&") => "write '&', with comparisons in parentheses",
        Kind::Symbol("||") => "write '|', with comparisons in parentheses",
        Kind::Symbol("!") => "write '~' for not, '!=' for not equal",
        Kind::Symbol("=" | ":=") => "compare with '=='; a statement gives a value one name: name = value",
        Kind::Symbol("{" | "}") => "group with '(' and ')'",
        Kind::Symbol(s) if s.len() > 1 && s.ends_with('=') => "write it out: x = x + 1",
        Kind::Int(_) | Kind::Float(_) | Kind::Name(_) if expected.starts_with("an operator") => {
            "to multiply, write '*'; statements end with a new line or ';'"
        }
        _ => "",
    };
    let problem = Problem::new(format!("expected {expected}, found {}", token.kind.describe(text)), token.span);
    problem.maybe_help((!help.is_empty()).then(|| help.to_owned()))
}

fn fail<T>(i: &Input<'_>, expected: &str) -> Parsed<T> {
    Err(Stop::fault(unexpected(i, expected)))
}

/// Runs `parser`; where it does not apply, the program is at fault.
fn must<'s, T>(mut parser: impl Parser<Input<'s>, T, Stop>, expected: &'static str) -> impl Parser<Input<'s>, T, Stop> {
    move |i: &mut Input<'s>| match parser.parse_next(i) {
        Err(Stop::Miss) => fail(i, expected),
        other => other,
    }
}

fn symbol<'s>(symbol: &'static str) -> impl Parser<Input<'s>, Span, Stop> {
    any.verify_map(move |t: &Token<'_>| (t.kind == Kind::Symbol(symbol)).then_some(t.span))
}

fn name<'s>(i: &mut Input<'s>) -> Parsed<(&'s str, Span)> {
    any.verify_map(|t: &Token<'s>| match t.kind {
        Kind::Name(n) if keyword_help(n).is_none() => Some((n, t.span)),
        _ => None,
    })
    .parse_next(i)
}

fn push(i: &mut Input<'_>, kind: NodeKind, span: Span, at: Span) -> Parsed<NodeId> {
    if i.state.nodes.len() >= MAX_NODES {
        return Err(Stop::fault(Problem::new(format!("the program has more than {MAX_NODES} parts"), span)));
    }
    i.state.nodes.push(Node { kind, span, at });
    Ok(NodeId(i.state.nodes.len() as u32 - 1))
}

fn span(i: &Input<'_>, id: NodeId) -> Span {
    i.state.nodes[id.index()].span
}

/// Runs `parser` one level deeper.
fn nested<'s, T>(i: &mut Input<'s>, at: Span, parser: fn(&mut Input<'s>) -> Parsed<T>) -> Parsed<T> {
    if i.state.depth >= MAX_DEPTH {
        return Err(Stop::fault(too_deep(at)));
    }
    i.state.depth += 1;
    let result = parser(i);
    i.state.depth -= 1;
    result
}

fn newline(i: &mut Input<'_>) -> Parsed<()> {
    any.verify(|t: &Token<'_>| t.kind == Kind::Newline).void().parse_next(i)
}

fn end(i: &mut Input<'_>) -> Parsed<()> {
    any.verify(|t: &Token<'_>| t.kind == Kind::End).void().parse_next(i)
}

fn program(i: &mut Input<'_>) -> Parsed<Vec<Statement>> {
    let line_end = must(alt((newline, peek(end))), "an operator or the end of the statement");
    let lines: Vec<Option<Statement>> =
        repeat(0.., alt((newline.value(None), terminated(statement, line_end).map(Some)))).parse_next(i)?;
    let statements: Vec<Statement> = lines.into_iter().flatten().collect();
    must(end, "an expression").parse_next(i)?;
    if statements.is_empty() {
        return Err(Stop::fault(Problem::new("there is nothing to evaluate", Span { start: 0, end: 0 })));
    }
    Ok(statements)
}

fn statement(i: &mut Input<'_>) -> Parsed<Statement> {
    let target = opt(terminated(name, symbol("="))).parse_next(i)?.map(|(n, s)| (n.to_owned(), s));
    if target.is_some() {
        return Ok(Statement { target, value: must(tuple, "a value").parse_next(i)? });
    }
    Ok(Statement { target, value: tuple.parse_next(i)? })
}

/// Expressions with commas between them are a tuple; one without a comma is itself.
fn tuple(i: &mut Input<'_>) -> Parsed<NodeId> {
    let first = compare(i)?;
    let Some(_) = opt(symbol(",")).parse_next(i)? else { return Ok(first) };
    let rest: Vec<NodeId> = separated(0.., compare, symbol(",")).parse_next(i)?;
    opt(symbol(",")).parse_next(i)?;
    let items: Vec<NodeId> = std::iter::once(first).chain(rest).collect();
    let whole = span(i, first).to(span(i, items[items.len() - 1]));
    push(i, NodeKind::Tuple(items), whole, whole)
}

fn operator<'s, T>(i: &mut Input<'s>, from_symbol: fn(&str) -> Option<T>) -> Parsed<(T, Span)> {
    any.verify_map(|t: &Token<'s>| match t.kind {
        Kind::Symbol(s) => from_symbol(s).map(|op| (op, t.span)),
        _ => None,
    })
    .parse_next(i)
}

/// An expression of any kind but a tuple.
fn compare(i: &mut Input<'_>) -> Parsed<NodeId> {
    let first = binary(i, Precedence::BitOr)?;
    let mut at = None;
    let rest: Vec<(CompareOp, NodeId)> = repeat(0.., |i: &mut Input<'_>| {
        let (op, place) = operator(i, CompareOp::from_symbol)?;
        at.get_or_insert(place);
        let right = must(|i: &mut Input<'_>| binary(i, Precedence::BitOr), "an operand").parse_next(i)?;
        Ok((op, right))
    })
    .parse_next(i)?;
    match (rest.last(), at) {
        (Some(&(_, last)), Some(at)) => {
            let whole = span(i, first).to(span(i, last));
            push(i, NodeKind::Compare(first, rest), whole, at)
        }
        _ => Ok(first),
    }
}

/// Operators that bind at least as tightly as `least`, all from the left: precedence climbing.
fn binary(i: &mut Input<'_>, least: Precedence) -> Parsed<NodeId> {
    let mut left = prefix(i)?;
    let tighter = |p: Precedence| match p {
        Precedence::Compare => Precedence::BitOr,
        Precedence::BitOr => Precedence::BitXor,
        Precedence::BitXor => Precedence::BitAnd,
        Precedence::BitAnd => Precedence::Shift,
        Precedence::Shift => Precedence::Sum,
        Precedence::Sum => Precedence::Term,
        Precedence::Term | Precedence::Power => Precedence::Power,
    };
    let here = |s: &str| BinaryOp::from_symbol(s).filter(|op| op.precedence() != Precedence::Power);
    loop {
        let Kind::Symbol(s) = next(i).kind else { return Ok(left) };
        let Some(op) = here(s).filter(|op| op.precedence() >= least) else { return Ok(left) };
        let at = symbol(op.symbol()).parse_next(i)?;
        let right = move |i: &mut Input<'_>| binary(i, tighter(op.precedence()));
        let right = must(right, "an operand").parse_next(i)?;
        let whole = span(i, left).to(span(i, right));
        left = push(i, NodeKind::Binary(op, left, right), whole, at)?;
    }
}

fn prefix_op(symbol: &str) -> Option<UnaryOp> {
    Some(match symbol {
        "-" => UnaryOp::Negative,
        "+" => UnaryOp::Positive,
        "~" => UnaryOp::Invert,
        _ => return None,
    })
}

fn prefix(i: &mut Input<'_>) -> Parsed<NodeId> {
    let Some((op, at)) = opt(|i: &mut Input<'_>| operator(i, prefix_op)).parse_next(i)? else { return power(i) };
    let operand = nested(i, at, |i| must(prefix, "an operand").parse_next(i))?;
    let whole = at.to(span(i, operand));
    push(i, NodeKind::Unary(op, operand), whole, at)
}

/// `base ** exponent`: tighter than a prefix on its left, looser than one on its right.
fn power(i: &mut Input<'_>) -> Parsed<NodeId> {
    let base = postfix(i)?;
    let Some(at) = opt(symbol("**")).parse_next(i)? else { return Ok(base) };
    let exponent = nested(i, at, |i| must(prefix, "an operand").parse_next(i))?;
    let whole = span(i, base).to(span(i, exponent));
    push(i, NodeKind::Binary(BinaryOp::Power, base, exponent), whole, at)
}

fn postfix(i: &mut Input<'_>) -> Parsed<NodeId> {
    let mut left = atom(i)?;
    loop {
        let token = next(i);
        match token.kind {
            Kind::Symbol(".") => {
                let (name, at) = preceded(symbol("."), must(name, "a name after '.'")).parse_next(i)?;
                let whole = span(i, left).to(at);
                left = match opt(arguments).parse_next(i)? {
                    Some((arguments, end)) => {
                        push(i, NodeKind::Method(left, name.to_owned(), arguments), whole.to(end), at)?
                    }
                    None => push(i, NodeKind::Attribute(left, name.to_owned()), whole, at)?,
                };
            }
            Kind::Symbol("[") => {
                symbol("[").parse_next(i)?;
                let entries = list(i, subscript)?;
                if entries.is_empty() {
                    return fail(i, "an index");
                }
                let end = must(symbol("]"), "',' or ']'").parse_next(i)?;
                let whole = span(i, left).to(end);
                left = push(i, NodeKind::Subscript(left, entries), whole, token.span.to(end))?;
            }
            Kind::Symbol("(") => {
                let problem = Problem::new("this cannot be called", span(i, left));
                return Err(Stop::fault(
                    problem.help("only functions and methods take arguments; to multiply, write '*'"),
                ));
            }
            _ => return Ok(left),
        }
    }
}

/// `a, b, c` with or without a comma at the end; nothing at all is fine too.
fn list<'s, T>(i: &mut Input<'s>, element: fn(&mut Input<'s>) -> Parsed<T>) -> Parsed<Vec<T>> {
    let items: Vec<T> = separated(0.., element, symbol(",")).parse_next(i)?;
    if !items.is_empty() {
        opt(symbol(",")).parse_next(i)?;
    }
    Ok(items)
}

fn subscript(i: &mut Input<'_>) -> Parsed<Subscript> {
    let start = opt(compare).parse_next(i)?;
    let part = |i: &mut Input<'_>| preceded(symbol(":"), opt(compare)).parse_next(i);
    match (opt(part).parse_next(i)?, start) {
        (Some(stop), start) => {
            let step = opt(part).parse_next(i)?.flatten();
            Ok(Subscript::Slice([start, stop, step]))
        }
        (None, Some(value)) => Ok(Subscript::Value(value)),
        (None, None) => Err(Stop::Miss),
    }
}

/// `(a, b, key=c)` and the place of its end.
fn arguments(i: &mut Input<'_>) -> Parsed<(Vec<Argument>, Span)> {
    symbol("(").parse_next(i)?;
    let arguments = list(i, argument)?;
    let end = must(symbol(")"), "',' or ')'").parse_next(i)?;
    Ok((arguments, end))
}

fn argument(i: &mut Input<'_>) -> Parsed<Argument> {
    let keyword = opt(terminated(name, symbol("="))).parse_next(i)?.map(|(n, s)| (n.to_owned(), s));
    let value = if keyword.is_some() { must(compare, "a value").parse_next(i)? } else { compare(i)? };
    Ok(Argument { keyword, value })
}

fn atom(i: &mut Input<'_>) -> Parsed<NodeId> {
    let token = next(i);
    let Token { span: at, kind } = token;
    match kind {
        Kind::Int(x) => any.parse_next(i).and_then(|_| push(i, NodeKind::Int(x), at, at)),
        Kind::Float(x) => any.parse_next(i).and_then(|_| push(i, NodeKind::Float(x), at, at)),
        Kind::Str(s) => any.parse_next(i).and_then(|_| push(i, NodeKind::Str(s.to_owned()), at, at)),
        Kind::Symbol("...") => any.parse_next(i).and_then(|_| push(i, NodeKind::Ellipsis, at, at)),
        Kind::Name(n) if keyword_help(n).is_some() => fail(i, "an operand"),
        Kind::Name(n) => {
            name(i)?;
            match opt(arguments).parse_next(i)? {
                Some((arguments, end)) => push(i, NodeKind::Call(n.to_owned(), arguments), at.to(end), at),
                None => push(i, NodeKind::Name(n.to_owned()), at, at),
            }
        }
        Kind::Symbol("(") => {
            symbol("(").parse_next(i)?;
            let inner = opt(|i: &mut Input<'_>| nested(i, at, tuple)).parse_next(i)?;
            let end = must(symbol(")"), if inner.is_some() { "an operator, ',' or ')'" } else { "an expression" })
                .parse_next(i)?;
            match inner {
                // The parentheses belong to what they hold, so that carets below it cover them.
                Some(id) => {
                    i.state.nodes[id.index()].span = at.to(end);
                    Ok(id)
                }
                None => push(i, NodeKind::Tuple(Vec::new()), at.to(end), at.to(end)),
            }
        }
        Kind::Symbol("[") => {
            symbol("[").parse_next(i)?;
            let items = nested(i, at, |i| list(i, compare))?;
            let end = must(symbol("]"), "',' or ']'").parse_next(i)?;
            push(i, NodeKind::List(items), at.to(end), at.to(end))
        }
        Kind::Symbol("!" | "&&" | "||" | "{" | "=" | ":=") => fail(i, "an operand"),
        _ => Err(Stop::Miss),
    }
}
