//! Text to tokens.
//!
//! After this pass brackets match, and a [`Kind::Newline`] ends a statement: those inside brackets, in comments and
//! after a backslash are gone.

use super::error::{Problem, Span};
use super::{MAX_DEPTH, MAX_SOURCE};
use winnow::combinator::{alt, opt, preceded, repeat};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stream};
use winnow::token::{one_of, take_till, take_while};

/// What a token is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind<'s> {
    Int(i128),
    Float(f64),
    Str(&'s str),
    Name(&'s str),
    /// An operator, bracket or other sign, from [`SYMBOLS`].
    Symbol(&'static str),
    /// The end of a line or a `;`: of a statement.
    Newline,
    /// The end of the text.
    End,
}

/// A token and its place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind<'s>,
    pub(super) span: Span,
}

impl Kind<'_> {
    /// How errors name the token.
    pub(super) fn describe(&self, text: &str) -> String {
        match self {
            Kind::Newline => "the end of the statement".to_owned(),
            Kind::End => "the end".to_owned(),
            Kind::Symbol(s) => format!("'{s}'"),
            _ if text.chars().count() > 40 => format!("'{}…'", text.chars().take(40).collect::<String>()),
            _ => format!("'{text}'"),
        }
    }
}

/// How a parser stops: it does not apply, or the program is at fault and nothing else need be tried.
#[derive(Debug)]
pub(super) enum Stop {
    Miss,
    Fault(Box<Problem>),
}

impl Stop {
    pub(super) fn fault(problem: Problem) -> Stop {
        Stop::Fault(Box::new(problem))
    }
}

impl<I: Stream> ParserError<I> for Stop {
    type Inner = Stop;

    fn from_input(_: &I) -> Stop {
        Stop::Miss
    }

    fn is_backtrack(&self) -> bool {
        matches!(self, Stop::Miss)
    }

    fn into_inner(self) -> Result<Stop, Stop> {
        Ok(self)
    }
}

type Text<'s> = LocatingSlice<&'s str>;

/// Signs, longer ones before their beginnings.
const SYMBOLS: &[&str] = &[
    "...", "**=", "//=", "<<=", ">>=", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=", "*=",
    "/=", "%=", "&=", "|=", "^=", "@=", ":=", "->", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "(",
    ")", "[", "]", "{", "}", ",", ":", ".", "=", "!", "?", "$", "`",
];

fn symbol<'s>(i: &mut Text<'s>) -> Result<Kind<'s>, Stop> {
    let symbol = SYMBOLS.iter().find(|s| i.starts_with(**s)).ok_or(Stop::Miss)?;
    (*symbol).map(|_| Kind::Symbol(symbol)).parse_next(i)
}

fn name<'s>(i: &mut Text<'s>) -> Result<Kind<'s>, Stop> {
    (one_of(|c: char| c.is_alphabetic() || c == '_'), take_while(0.., |c: char| c.is_alphanumeric() || c == '_'))
        .take()
        .map(Kind::Name)
        .parse_next(i)
}

fn string<'s>(i: &mut Text<'s>) -> Result<Kind<'s>, Stop> {
    let start = i.current_token_start();
    let quote = one_of(['\'', '"']).parse_next(i)?;
    let body = take_till(0.., ['\'', '"', '\n']).parse_next(i)?;
    match opt(one_of(quote)).parse_next(i)? {
        Some(_) => Ok(Kind::Str(body)),
        None => {
            let span = Span { start, end: i.current_token_start() };
            Err(Stop::fault(Problem::new("a string is never closed", span)))
        }
    }
}

/// Digits of a base with single underscores between them, as Python allows.
fn digits<'s>(base: u32) -> impl Parser<Text<'s>, &'s str, Stop> {
    let run = move || take_while(1.., move |c: char| c.is_digit(base));
    (run(), repeat::<_, _, (), _, _>(0.., ('_', run()))).take()
}

const NOT_A_NUMBER: &str = "this is not a number";

fn number<'s>(i: &mut Text<'s>) -> Result<Kind<'s>, Stop> {
    let start = i.current_token_start();
    let based = |letters: [char; 2], base: u32| {
        preceded(('0', one_of(letters), opt('_')), digits(base)).map(move |d| (base, d))
    };
    let exponent = || (one_of(['e', 'E']), opt(one_of(['+', '-'])), digits(10));
    let float = alt((
        (digits(10), '.', opt(digits(10)), opt(exponent())).take(),
        (digits(10), exponent()).take(),
        ('.', digits(10), opt(exponent())).take(),
    ));
    let plain = |d: &str| d.replace('_', "");
    let fault = |message: &str, i: &Text<'s>| {
        let problem = Problem::new(message, Span { start, end: i.current_token_start().max(start + 1) });
        Stop::fault(match message {
            NOT_A_NUMBER => problem.help("a name cannot begin with a digit; to multiply, write '*'"),
            _ => problem,
        })
    };
    let whole = |base: u32, d: &str, i: &Text<'s>| {
        i128::from_str_radix(&plain(d), base).map(Kind::Int).map_err(|_| fault("this integer is too large", i))
    };
    let kind = if let Some((base, d)) =
        opt(alt((based(['x', 'X'], 16), based(['o', 'O'], 8), based(['b', 'B'], 2)))).parse_next(i)?
    {
        whole(base, d, i)?
    } else if let Some(d) = opt(float).parse_next(i)? {
        // Everything that the grammar above takes, `parse` takes too.
        Kind::Float(plain(d).parse().map_err(|_| fault(NOT_A_NUMBER, i))?)
    } else {
        let d = digits(10).parse_next(i)?;
        if d.starts_with('0') && d.bytes().any(|b| b != b'0' && b != b'_') {
            return Err(fault("an integer cannot begin with 0", i));
        }
        whole(10, d, i)?
    };
    let tail = take_while(0.., |c: char| c.is_alphanumeric() || c == '_').parse_next(i)?;
    match tail {
        "" => Ok(kind),
        "j" | "J" => Err(fault("complex numbers are not supported", i)),
        _ => Err(fault(NOT_A_NUMBER, i)),
    }
}

/// Blanks, comments and a line continued after `\`.
fn trivia(i: &mut Text<'_>) -> Result<(), Stop> {
    let blank = take_while(1.., [' ', '\t', '\r', '\u{c}', '\u{a0}', '\u{feff}']).void();
    let comment = ('#', take_till(0.., '\n')).void();
    let continued = ('\\', opt('\r'), '\n').void();
    repeat(0.., alt((blank, comment, continued))).parse_next(i)
}

fn token<'s>(i: &mut Text<'s>) -> Result<Kind<'s>, Stop> {
    alt((one_of(['\n', ';']).value(Kind::Newline), number, name, string, symbol)).parse_next(i)
}

/// What is meant by signs that text processors and keyboards make.
fn lookalike(c: char) -> Option<&'static str> {
    Some(match c {
        '−' | '–' | '—' => "write '-'",
        '×' | '·' | '⋅' => "write '*'",
        '÷' => "write '/'",
        '²' => "write '**2'",
        '³' => "write '**3'",
        '≤' => "write '<='",
        '≥' => "write '>='",
        '≠' => "write '!='",
        '“' | '”' | '‘' | '’' => "write ' or \"",
        '…' => "write '...'",
        '√' => "write 'sqrt(…)'",
        '\\' => "a backslash may only stand at the end of a line",
        _ => return None,
    })
}

/// All tokens of `text`; the last is [`Kind::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Token<'_>>, Problem> {
    if text.len() > MAX_SOURCE {
        let message = format!("the program has {} bytes; at most {MAX_SOURCE} are allowed", text.len());
        return Err(Problem::new(message, Span { start: 0, end: 0 }));
    }
    let mut i = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    let mut open: Vec<(&'static str, Span)> = Vec::new();
    loop {
        // Blanks can be none, so there is no fault in them.
        let _ = trivia(&mut i);
        let start = i.current_token_start();
        if i.is_empty() {
            break;
        }
        let kind = token(&mut i).map_err(|stop| match stop {
            Stop::Fault(problem) => *problem,
            Stop::Miss => {
                let c = i.chars().next().unwrap_or_default();
                let span = Span { start, end: start + c.len_utf8() };
                Problem::new(format!("unexpected character '{}'", c.escape_debug()), span)
                    .maybe_help(lookalike(c).map(str::to_owned))
            }
        })?;
        let span = Span { start, end: i.current_token_start() };
        match kind {
            Kind::Symbol(s @ ("(" | "[" | "{")) => {
                if open.len() >= MAX_DEPTH {
                    return Err(too_deep(span));
                }
                open.push((s, span));
            }
            Kind::Symbol(s @ (")" | "]" | "}")) => {
                let (opener, at) = open.pop().ok_or_else(|| Problem::new(format!("nothing opens this '{s}'"), span))?;
                let closer = match opener {
                    "(" => ")",
                    "[" => "]",
                    _ => "}",
                };
                if closer != s {
                    return Err(Problem::new(format!("'{opener}' is closed by '{s}'"), at.to(span)));
                }
            }
            Kind::Newline if !open.is_empty() => {
                if &text[start..span.end] == ";" {
                    let (opener, at) = open[open.len() - 1];
                    return Err(Problem::new(format!("'{opener}' is never closed"), at));
                }
                continue;
            }
            _ => {}
        }
        tokens.push(Token { kind, span });
    }
    if let Some((opener, at)) = open.pop() {
        return Err(Problem::new(format!("'{opener}' is never closed"), at));
    }
    let span = Span { start: text.len(), end: text.len() };
    tokens.push(Token { kind: Kind::End, span });
    Ok(tokens)
}

/// The error of a program that nests deeper than [`MAX_DEPTH`].
pub(super) fn too_deep(span: Span) -> Problem {
    Problem::new(format!("the program nests deeper than {MAX_DEPTH} levels"), span)
        .help("give parts of it a name, in statements of their own")
}
