//! The text form of a graph, both ways: what filetests, `explain` and bug reports are written in.
//!
//! ```text
//! ; a comment, to the end of the line; `#` does as well
//! %0 = input 0 : f64[1000]
//! %1 = const 2.0 : f64[1000]
//! %2 = multiply %0, %1 : f64[1000]
//! %3 = view %2 [d0*2+1] : f64[499]
//! %4 = sum %3 axes=[0] : f64[]
//! return %4
//! ```
//! One line is one node: its number, its op, the operands, what belongs to the op, dtype and shape of the result; the
//! last line names the outputs. For each axis of its source, a view says where that axis is read: `d0*2+1` is twice
//! the index along axis 0 of the view plus one, a bare number is one position. Reading numbers the nodes densely, in
//! order. The text is not verified as it is read: a wrong graph can be written down.

use crate::graph::{Graph, NodeId};
use crate::shape::{Axes, MAX_RANK};
use crate::view::{AxisMap, View};
use crate::{DType, Kind, MapOp, Op, ReduceOp, Scalar, ScanOp, Shape};
use rustc_hash::FxHashMap;
use std::fmt;
use winnow::Parser;
use winnow::ascii::{digit1, space0};
use winnow::combinator::{opt, preceded};
use winnow::error::ParserError;
use winnow::token::take_while;

impl Graph {
    /// Writes the text form, and lets `note` add lines below each node.
    pub(crate) fn print<'f>(
        &self,
        f: &mut fmt::Formatter<'f>,
        mut note: impl FnMut(&mut fmt::Formatter<'f>, NodeId) -> fmt::Result,
    ) -> fmt::Result {
        for id in self.order_all() {
            self.print_node(f, id)?;
            if let Some(at) = self.node(id).at.filter(|_| f.alternate()) {
                write!(f, "  ; {at}")?;
            }
            writeln!(f)?;
            note(f, id)?;
        }
        f.write_str("return")?;
        for (i, o) in self.outputs().iter().enumerate() {
            write!(f, "{} {o}", if i > 0 { "," } else { "" })?;
        }
        writeln!(f)
    }

    fn print_node(&self, f: &mut impl fmt::Write, id: NodeId) -> fmt::Result {
        let node = self.node(id);
        write!(f, "{id} = {}", node.op.name())?;
        for (i, o) in self.operands(id).iter().enumerate() {
            write!(f, "{} {o}", if i > 0 { "," } else { "" })?;
        }
        match &node.op {
            Op::Input(n) => write!(f, " {n}")?,
            Op::Const(value) => write!(f, " {value}")?,
            Op::View(view) => {
                let text = view.to_string();
                // The view's own shape is the node's, which follows.
                write!(f, " {}", text.split(" ->").next().unwrap_or(&text))?;
            }
            Op::Reduce(_, axes) => write!(f, " axes={axes:?}")?,
            Op::Scan(_, axis) => write!(f, " axis={axis}")?,
            Op::Iota | Op::Map(_) | Op::Cast | Op::Reshape | Op::Matmul => {}
        }
        write!(f, " : {}{}", node.dtype.short(), node.shape)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// The first thing that is not as the [text form](Graph#impl-Display-for-Graph) has it, with line and column.
    /// Whether the graph makes sense, [`crate::verify`] tells.
    ///
    /// ```
    /// use lazuli_graph::Graph;
    /// let graph = Graph::parse("%x = input 0 : f64[3]\n%y = exp %x : f64[3]  ; names may be words\nreturn %y")?;
    /// assert_eq!(graph.to_string(), "%0 = input 0 : f64[3]\n%1 = exp %0 : f64[3]\nreturn %1\n");
    /// assert_eq!(Graph::parse("%0 = oops").unwrap_err().to_string(), "line 1, column 6: unknown op 'oops'");
    /// # Ok::<(), lazuli_graph::ParseError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Graph, ParseError> {
        let mut reader = Reader { graph: Graph::new(), names: FxHashMap::default(), returned: false };
        let mut last = 0;
        for (i, line) in text.lines().enumerate() {
            last = i;
            let code = line.split([';', '#']).next().unwrap_or(line).trim_end();
            let mut rest = code.trim_start();
            if rest.is_empty() {
                continue;
            }
            reader.line(&mut rest).map_err(|fault| {
                let column = code[..code.len() - fault.rest.min(code.len())].chars().count() + 1;
                ParseError { line: i + 1, column, message: fault.message }
            })?;
        }
        if !reader.returned {
            let message = "the text ends without 'return'".to_owned();
            return Err(ParseError { line: last + 1, column: 1, message });
        }
        Ok(reader.graph)
    }

    /// The graph in the language of Graphviz.
    ///
    /// ```
    /// let graph = lazuli_graph::Graph::parse("%0 = input 0 : f64[3]\nreturn %0")?;
    /// assert!(graph.dot().starts_with("digraph"));
    /// # Ok::<(), lazuli_graph::ParseError>(())
    /// ```
    pub fn dot(&self) -> String {
        use fmt::Write;
        // Writing to a string cannot fail.
        let mut out = String::from("digraph graph {\n  node [shape=box, fontname=monospace];\n");
        for id in self.order_all() {
            let mut text = String::new();
            let _ = self.print_node(&mut text, id);
            let label = text.replace(" : ", "\\n").replace('"', "\\\"");
            let peripheries = if self.outputs().contains(&id) { 2 } else { 1 };
            let _ = writeln!(out, "  n{} [label=\"{label}\", peripheries={peripheries}];", id.index());
            let operands = self.operands(id);
            for (i, o) in operands.iter().enumerate() {
                let label = if operands.len() > 1 { format!(" [label={i}]") } else { String::new() };
                let _ = writeln!(out, "  n{} -> n{}{label};", o.index(), id.index());
            }
        }
        out + "}\n"
    }
}

/// The [text form](crate::Graph::parse); `{:#}` adds to each node where in the user's source it was built.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, |_, _| Ok(()))
    }
}

/// Where and why a text is not a graph's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// What is wrong with a line, and how many bytes were left where it went wrong.
struct Fault {
    rest: usize,
    message: String,
}

impl Fault {
    fn at(input: &str, message: impl Into<String>) -> Fault {
        Fault { rest: input.len(), message: message.into() }
    }

    /// What stands where something else should.
    fn found(input: &str) -> String {
        match input.split_whitespace().next() {
            Some(word) => format!("'{}'", word.chars().take(20).collect::<String>()),
            None => "end of line".to_owned(),
        }
    }

    fn expected(input: &str, what: &str) -> Fault {
        Fault::at(input, format!("expected {what}, found {}", Fault::found(input)))
    }
}

impl<'a> ParserError<&'a str> for Fault {
    type Inner = Self;

    fn from_input(input: &&'a str) -> Self {
        Fault::at(input, format!("unexpected {}", Fault::found(input)))
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

type Parsed<T> = Result<T, Fault>;

/// `text`, with any space before it.
fn symbol<'a>(mut text: &'static str) -> impl Parser<&'a str, &'a str, Fault> {
    move |input: &mut &'a str| {
        space0::<_, Fault>.parse_next(input)?;
        let start = *input;
        let found = text.parse_next(input);
        found.map_err(|_: Fault| Fault::expected(start, &format!("'{text}'")))
    }
}

fn word<'a>(input: &mut &'a str) -> Parsed<&'a str> {
    preceded(space0, take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_')).parse_next(input)
}

/// An integer, with its sign.
fn integer<T: std::str::FromStr>(input: &mut &str) -> Parsed<T> {
    space0.parse_next(input)?;
    let start = *input;
    let text = (opt('-'), digit1).take().parse_next(input);
    let text = text.map_err(|_: Fault| Fault::expected(start, "an integer"))?;
    text.parse().map_err(|_| Fault::at(start, format!("{text} is out of range")))
}

/// `[x, y, …]`.
fn list<T>(input: &mut &str, mut item: impl FnMut(&mut &str) -> Parsed<T>) -> Parsed<Vec<T>> {
    symbol("[").parse_next(input)?;
    let mut items = Vec::new();
    // By hand: `separated` would take the fault in an item for the end of the list.
    if !input.trim_start().starts_with(']') {
        items.push(item(input)?);
        while opt(symbol(",")).parse_next(input)?.is_some() {
            items.push(item(input)?);
        }
    }
    symbol("]").parse_next(input)?;
    Ok(items)
}

/// `d0*2+1`, `d0`, `5`.
fn axis_map(input: &mut &str) -> Parsed<AxisMap> {
    if opt(symbol("d")).parse_next(input)?.is_none() {
        return Ok(AxisMap::at(integer(input)?));
    }
    let start = *input;
    let dim: usize = integer(input)?;
    if dim >= MAX_RANK {
        return Err(Fault::at(start, format!("an array has at most {MAX_RANK} axes")));
    }
    let step = if opt(symbol("*")).parse_next(input)?.is_some() { integer(input)? } else { 1 };
    let plus = opt(symbol("+")).parse_next(input)?.is_some();
    let start = if plus || input.trim_start().starts_with('-') { integer(input)? } else { 0 };
    Ok(AxisMap { dim: Some(dim as u8), start, step })
}

/// `: f64[2, 3]`.
fn result(input: &mut &str) -> Parsed<(DType, Shape)> {
    symbol(":").parse_next(input)?;
    let _ = space0::<_, Fault>.parse_next(input)?;
    let start = *input;
    let dtype = word(input)?.parse::<DType>().map_err(|e| Fault::at(start, e.to_string()))?;
    let start = *input;
    let extents = list(input, integer)?;
    let shape = Shape::new(&extents).map_err(|e| Fault::at(start, e.to_string()))?;
    Ok((dtype, shape))
}

/// The value that `text` has in `dtype`.
fn scalar(text: &str, dtype: DType) -> Option<Scalar> {
    match dtype {
        DType::Bool => text.parse::<bool>().ok().map(|b| Scalar::from_bits(dtype, b as u64)),
        // Read as a float32 at once: by way of float64 it would round twice.
        DType::F32 => text.parse::<f32>().ok().map(|x| Scalar::from_bits(dtype, x.to_bits() as u64)),
        d if d.is_float() => text.parse::<f64>().ok().map(|x| Scalar::from_f64(dtype, x)),
        d => {
            // What wraps as it takes on the dtype was out of range.
            let x: i128 = text.parse().ok()?;
            let value = Scalar::from_bits(d, x as u64);
            let back = if d.kind() == Kind::Signed { value.as_i64() as i128 } else { value.bits() as i128 };
            (back == x).then_some(value)
        }
    }
}

struct Reader<'a> {
    graph: Graph,
    names: FxHashMap<&'a str, NodeId>,
    returned: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, input: &mut &'a str) -> Parsed<()> {
        if self.returned {
            return Err(Fault::at(input, "nothing may follow 'return'"));
        }
        if input.starts_with('%') {
            self.node(input)?;
        } else {
            let start = *input;
            if word(input).ok() != Some("return") {
                return Err(Fault::at(start, "expected '%' and a name, or 'return'"));
            }
            let outputs = self.names(input)?;
            self.graph.set_outputs(outputs);
            self.returned = true;
        }
        let _ = space0::<_, Fault>.parse_next(input)?;
        if input.is_empty() { Ok(()) } else { Err(Fault::from_input(input)) }
    }

    fn name(&self, input: &mut &'a str) -> Parsed<NodeId> {
        let _ = space0::<_, Fault>.parse_next(input)?;
        let start = *input;
        symbol("%").parse_next(input)?;
        let name = word(input)?;
        self.names.get(name).copied().ok_or_else(|| Fault::at(start, format!("%{name} is not defined above")))
    }

    /// `%0, %1, …`, perhaps none.
    fn names(&self, input: &mut &'a str) -> Parsed<Vec<NodeId>> {
        let mut names = Vec::new();
        if input.trim_start().starts_with('%') {
            names.push(self.name(input)?);
            while opt(symbol(",")).parse_next(input)?.is_some() {
                names.push(self.name(input)?);
            }
        }
        Ok(names)
    }

    fn node(&mut self, input: &mut &'a str) -> Parsed<()> {
        let line = *input;
        symbol("%").parse_next(input)?;
        let name = word(input)?;
        if self.names.contains_key(name) {
            return Err(Fault::at(line, format!("%{name} is defined twice")));
        }
        symbol("=").parse_next(input)?;
        let _ = space0::<_, Fault>.parse_next(input)?;
        let start = *input;
        let op = word(input)?;
        let mut literal = None;
        let mut axes = Vec::new();
        let mut operands = Vec::new();
        let op = match op {
            "input" => Op::Input(integer(input)?),
            "const" => {
                let _ = space0::<_, Fault>.parse_next(input)?;
                let start = *input;
                let text =
                    take_while(1.., |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c)).parse_next(input)?;
                literal = Some((start, text));
                Op::Const(Scalar::zero(DType::Bool))
            }
            "iota" => Op::Iota,
            _ => {
                let op = unary_or_more(op).ok_or_else(|| Fault::at(start, format!("unknown op '{op}'")))?;
                operands = self.names(input)?;
                match op {
                    Op::View(_) => {
                        axes = list(input, axis_map)?;
                        op
                    }
                    Op::Reduce(op, _) => Op::Reduce(op, axis_set(input)?),
                    Op::Scan(op, _) => {
                        (symbol("axis"), symbol("=")).parse_next(input)?;
                        Op::Scan(op, axis_number(input)? as u8)
                    }
                    op => op,
                }
            }
        };
        let (dtype, shape) = result(input)?;
        let op = match (op, literal) {
            (Op::Const(_), Some((start, text))) => match scalar(text, dtype) {
                Some(value) => Op::Const(value),
                None => return Err(Fault::at(start, format!("{text} is no value of {dtype}"))),
            },
            (Op::View(_), _) => Op::View(Box::new(View::from_parts(shape.clone(), &axes))),
            (op, _) => op,
        };
        if operands.len() > MAX_RANK {
            return Err(Fault::at(start, "too many operands"));
        }
        self.names.insert(name, self.graph.add(op, dtype, shape, &operands, None));
        Ok(())
    }
}

/// The op of this name, of those that take operands; what belongs to it is still to be filled in.
fn unary_or_more(name: &str) -> Option<Op> {
    match name {
        "cast" => Some(Op::Cast),
        "view" => Some(Op::View(Box::new(View::from_parts(Shape::scalar(), &[])))),
        "reshape" => Some(Op::Reshape),
        "matmul" => Some(Op::Matmul),
        _ => MapOp::from_name(name)
            .map(Op::Map)
            .or_else(|| ReduceOp::from_name(name).map(|op| Op::Reduce(op, Axes::NONE)))
            .or_else(|| ScanOp::from_name(name).map(|op| Op::Scan(op, 0))),
    }
}

fn axis_number(input: &mut &str) -> Parsed<usize> {
    let start = *input;
    let axis: usize = integer(input)?;
    if axis >= MAX_RANK {
        return Err(Fault::at(start, format!("an array has at most {MAX_RANK} axes")));
    }
    Ok(axis)
}

/// `axes=[0, 1]`.
fn axis_set(input: &mut &str) -> Parsed<Axes> {
    (symbol("axes"), symbol("=")).parse_next(input)?;
    Ok(list(input, axis_number)?.into_iter().collect())
}
