//! A [`Program`] to array expressions.
//!
//! Nodes are evaluated by number, operands first, so no program can exhaust the stack. Nothing is computed here but
//! arithmetic on literals: arrays become [`Expr`] nodes.

use super::args::{Call, Fault, to_array, to_operand};
use super::ast::*;
use super::error::{LangError, Problem, Span, nearest};
use super::functions::{Function, dtype, function_names};
use super::value::{self, Value};
use lazuli_graph::ops::MAP_OPS;
use lazuli_graph::{DType, Expr, Index, MapOp, Scalar, Shape};
use std::collections::{HashMap, HashSet};

/// Makes an array leaf of elements of one dtype, in C order.
pub type NewArray = dyn Fn(&[Scalar], DType, Shape) -> Expr;

/// What a program can see.
pub struct Env<'a> {
    /// The inputs by name: numbers or arrays.
    pub names: HashMap<String, Value>,
    /// Turns list literals into arrays.
    pub new_array: &'a NewArray,
}

/// What a program gives.
#[derive(Debug)]
pub struct Outcome {
    /// Each name that was assigned, in the order of the last assignment, and the last statement. The last entry is
    /// the last statement's, without a name if it has none.
    pub results: Vec<(Option<String>, Expr)>,
    /// The inputs that the program read.
    pub used: HashSet<String>,
}

/// Evaluates `program`: builds the expressions of its results.
///
/// A statement `name = number` of literals alone is a default: an input of that name takes its place.
///
/// # Errors
/// Unknown names, wrong arguments, shapes and dtypes that do not fit; each points at the text.
///
/// ```
/// use lazuli_cli::lang::{Env, Value, eval, parse};
/// use lazuli_graph::{DType, Expr, Shape};
/// let x = Expr::parameter(0, DType::F32, Shape::new(&[3, 4])?);
/// let names = [("x".to_owned(), Value::Array(x))].into();
/// let env = Env { names, new_array: &|_, _, _| unreachable!("no lists here") };
/// let outcome = eval(&parse("demo", "m = x.mean(axis=0); (x - m)**2")?, &env)?;
/// let (name, last) = &outcome.results[1];
/// assert_eq!((name, last.dtype(), &**last.shape()), (&None, DType::F32, &[3, 4][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn eval(program: &Program, env: &Env<'_>) -> Result<Outcome, LangError> {
    Machine::new(program, env).run().map_err(|problem| problem.in_source(&program.source))
}

/// Evaluates a program of one statement that is a number of literals alone, such as `-2.5e3` or `2 * pi`.
///
/// # Errors
/// Anything else.
pub fn eval_number(program: &Program) -> Result<Value, LangError> {
    let no_arrays: &NewArray = &|_, _, shape| Expr::zeros(DType::F64, shape);
    let env = Env { names: HashMap::new(), new_array: no_arrays };
    let statement = &program.statements[0];
    let fault = |text: &str| Problem::new(text, program.node(statement.value).span).in_source(&program.source);
    let mut machine = Machine::new(program, &env);
    for (id, node) in program.nodes.iter().enumerate() {
        let value = machine.step(node).map_err(|problem| problem.in_source(&program.source))?;
        machine.values[id] = Some(value);
    }
    match machine.take(statement.value).0 {
        value if program.statements.len() == 1 && statement.target.is_none() && value.is_number() => Ok(value),
        value => Err(fault(&format!("expected one number, found {}", value.describe()))),
    }
}

struct Machine<'a> {
    program: &'a Program,
    env: &'a Env<'a>,
    assigned: HashMap<String, Value>,
    used: HashSet<String>,
    values: Vec<Option<Value>>,
}

/// Names that cannot be assigned.
const RESERVED: &[&str] = &["None", "True", "False"];

fn constant(name: &str) -> Option<Value> {
    Some(match name {
        "None" | "newaxis" => Value::None,
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        "pi" => Value::Float(std::f64::consts::PI),
        "e" => Value::Float(std::f64::consts::E),
        "inf" => Value::Float(f64::INFINITY),
        "nan" => Value::Float(f64::NAN),
        "np" | "numpy" => Value::Module,
        _ => Value::DType(dtype(name)?),
    })
}

const CONSTANTS: &[&str] = &["None", "newaxis", "True", "False", "pi", "e", "inf", "nan"];
const ATTRIBUTES: &[&str] = &["T", "mT", "shape", "ndim", "size", "dtype"];

impl<'a> Machine<'a> {
    fn new(program: &'a Program, env: &'a Env<'a>) -> Machine<'a> {
        let values = (0..program.nodes.len()).map(|_| None).collect();
        Machine { program, env, assigned: HashMap::new(), used: HashSet::new(), values }
    }

    fn run(&mut self) -> Result<Outcome, Problem> {
        let program = self.program;
        let mut order: Vec<&str> = Vec::new();
        let mut done = 0;
        let mut results = Vec::new();
        for (i, statement) in program.statements.iter().enumerate() {
            let first = done;
            for id in first..=statement.value.index() {
                let value = self.step(&program.nodes[id])?;
                self.values[id] = Some(value);
            }
            done = statement.value.index() + 1;
            let (mut value, span) = self.take(statement.value);
            if let Some((name, _)) = &statement.target
                && value.is_number()
                && self.is_default(name, first, statement)
            {
                self.used.insert(name.clone());
                value = self.env.names[name].clone();
            }
            let last = i + 1 == program.statements.len();
            match &statement.target {
                Some((name, place)) => {
                    if RESERVED.contains(&name.as_str()) {
                        return Err(Problem::new(format!("'{name}' cannot be assigned"), *place));
                    }
                    if last {
                        self.result(value.clone(), span)?;
                    }
                    order.retain(|n| n != name);
                    order.push(name);
                    self.assigned.insert(name.clone(), value);
                }
                None if last => {
                    let value = self.result(value, span)?;
                    results.push((None, value));
                }
                None => {}
            }
        }
        let here = program.statements.last().map_or(Span { start: 0, end: 0 }, |s| program.node(s.value).span);
        let mut named = Vec::new();
        for name in order {
            let Some(value) = self.assigned.remove(name) else { continue };
            // Tuples, dtypes and such are a program's own affair.
            if matches!(value, Value::Array(_) | Value::List(_)) || value.is_number() {
                named.push((Some(name.to_owned()), self.result(value, here)?));
            }
        }
        named.append(&mut results);
        Ok(Outcome { results: named, used: std::mem::take(&mut self.used) })
    }

    /// Whether `name = number`, made of literals alone, is only there for want of an input of that name.
    fn is_default(&self, name: &str, first: usize, statement: &Statement) -> bool {
        let nodes = &self.program.nodes[first..=statement.value.index()];
        let reads = |node: &Node| match &node.kind {
            NodeKind::Name(n) => self.assigned.contains_key(n) || self.env.names.contains_key(n),
            _ => false,
        };
        self.env.names.contains_key(name) && !self.assigned.contains_key(name) && !nodes.iter().any(reads)
    }

    fn result(&self, value: Value, span: Span) -> Result<Expr, Problem> {
        match value {
            Value::Tuple(_) => Err(Problem::new("a statement has one result, not a tuple", span)
                .help("give each a name, in statements of their own")),
            value => to_array(value, span, self.env.new_array),
        }
    }

    /// The value of an operand, which nothing else will ask for, and its place.
    fn take(&mut self, id: NodeId) -> (Value, Span) {
        let value = self.values[id.index()].take().expect("operands stand before their one user");
        (value, self.program.node(id).span)
    }

    fn step(&mut self, node: &Node) -> Result<Value, Problem> {
        Ok(match &node.kind {
            NodeKind::Int(x) => Value::Int(*x),
            NodeKind::Float(x) => Value::Float(*x),
            NodeKind::Str(s) => Value::Str(s.clone()),
            NodeKind::Ellipsis => Value::Ellipsis,
            NodeKind::Name(name) => self.name(name, node.span)?,
            NodeKind::Unary(op, x) => {
                let x = self.take(*x);
                self.unary(*op, x, node.at)?
            }
            NodeKind::Binary(op, x, y) => {
                let (x, y) = (self.take(*x), self.take(*y));
                self.binary(*op, x, y, node.at)?
            }
            NodeKind::Compare(first, rest) => {
                let first = self.take(*first);
                let rest = rest.iter().map(|&(op, y)| (op, self.take(y))).collect();
                self.compare(first, rest, node.at)?
            }
            NodeKind::Call(name, arguments) => {
                let given = arguments.iter().map(|a| self.take(a.value)).collect();
                self.call(name, None, arguments, given, node.at)?
            }
            NodeKind::Method(receiver, name, arguments) => {
                let receiver = self.take(*receiver);
                let given = arguments.iter().map(|a| self.take(a.value)).collect();
                let receiver = Some(receiver).filter(|r| !matches!(r.0, Value::Module));
                self.call(name, receiver, arguments, given, node.at)?
            }
            NodeKind::Attribute(x, name) => {
                let x = self.take(*x);
                self.attribute(x, name, node.at)?
            }
            NodeKind::Subscript(x, entries) => {
                let x = self.take(*x);
                self.subscript(x, entries, node.at)?
            }
            NodeKind::Tuple(items) => Value::Tuple(items.iter().map(|i| self.take(*i).0).collect()),
            NodeKind::List(items) => Value::List(items.iter().map(|i| self.take(*i).0).collect()),
        })
    }

    fn name(&mut self, name: &str, span: Span) -> Result<Value, Problem> {
        if let Some(value) = self.assigned.get(name) {
            return Ok(value.clone());
        }
        if let Some(value) = self.env.names.get(name) {
            self.used.insert(name.to_owned());
            return Ok(value.clone());
        }
        if let Some(value) = constant(name) {
            return Ok(value);
        }
        if let Some(f) = Function::find(name) {
            let problem = Problem::new(format!("'{name}' is a function"), span);
            return Err(problem.help(format!("call it: {}", f.signature().show(name))));
        }
        let mut known: Vec<&str> = self.assigned.keys().chain(self.env.names.keys()).map(String::as_str).collect();
        // Names of the user first; sorted, so that the same fault has the same message.
        known.sort_unstable();
        let near = nearest(name, known.iter().copied())
            .or_else(|| nearest(name, CONSTANTS.iter().copied().chain(DType::ALL.iter().map(|d| d.name()))));
        let help = match near {
            Some(near) => format!("did you mean '{near}'?"),
            None if known.is_empty() => format!("give it a value: {name}=VALUE"),
            None => format!("give it a value, {name}=VALUE; known are {}", known.join(", ")),
        };
        Err(Problem::new(format!("unknown name '{name}'"), span).help(help))
    }

    fn unary(&self, op: UnaryOp, (x, span): (Value, Span), at: Span) -> Result<Value, Problem> {
        if let Some(number) = value::unary(op, &x) {
            return number.map_err(|text| Problem::new(text, at));
        }
        let x = to_array(x, span, self.env.new_array)?;
        let map = match op {
            UnaryOp::Negative => MapOp::Negative,
            UnaryOp::Invert => MapOp::Invert,
            UnaryOp::Positive if x.dtype() == DType::Bool => {
                return Err(Problem::new("'+' is not defined for bool", at));
            }
            UnaryOp::Positive => return Ok(Value::Array(x)),
        };
        let help = match (op, x.dtype()) {
            (UnaryOp::Negative, DType::Bool) => Some("to turn truth around, write '~'"),
            _ => None,
        };
        self.map(map, &[x], at).map_err(|p| p.maybe_help(help.map(str::to_owned)))
    }

    fn map(&self, op: MapOp, operands: &[Expr], at: Span) -> Result<Value, Problem> {
        Expr::map(op, operands).map(Value::Array).map_err(|e| Fault::from(e).at(at))
    }

    /// Both as operands; an integer beyond 64 bits is a float where it meets floats.
    fn operands(&self, x: (Value, Span), y: (Value, Span)) -> Result<[Expr; 2], Problem> {
        let widen = |value: Value, other: &Value| match (&value, other) {
            (Value::Int(n), Value::Array(a)) if a.dtype().is_float() && value.scalar().is_none() => {
                Value::Float(*n as f64)
            }
            _ => value,
        };
        let (a, b) = (widen(x.0.clone(), &y.0), widen(y.0, &x.0));
        let new = self.env.new_array;
        Ok([to_operand(a, x.1, new)?, to_operand(b, y.1, new)?])
    }

    fn binary(&self, op: BinaryOp, x: (Value, Span), y: (Value, Span), at: Span) -> Result<Value, Problem> {
        if let Some(number) = value::binary(op, &x.0, &y.0) {
            return number.map_err(|text| Problem::new(text, at));
        }
        let [a, b] = self.operands(x, y)?;
        let place = |e: lazuli_graph::Error| Fault::from(e).at(at);
        match op {
            BinaryOp::Power => return a.power(&b).map(Value::Array).map_err(place),
            BinaryOp::Matmul => return a.matmul_numpy(&b).map(Value::Array).map_err(place),
            _ => {}
        }
        let row = MAP_OPS.iter().find(|r| r.arity == 2 && r.symbol == Some(op.symbol()));
        let row = row.ok_or_else(|| Problem::new(format!("'{}' is not defined for arrays", op.symbol()), at))?;
        self.map(row.op, &[a, b], at).map_err(|p| match op {
            BinaryOp::BitXor => p.help("a power is written '**'"),
            BinaryOp::BitAnd | BinaryOp::BitOr if p.message.contains("not defined") => {
                p.help(format!("'{0}' binds tighter than comparisons: write (a < b) {0} (c < d)", op.symbol()))
            }
            _ => p,
        })
    }

    /// `a < b < c` is `(a < b) & (b < c)`.
    fn compare(&self, first: (Value, Span), rest: Vec<(CompareOp, (Value, Span))>, at: Span) -> Result<Value, Problem> {
        let mut left = first;
        let mut all: Option<Value> = None;
        for (op, right) in rest {
            let one = match value::compare(op, &left.0, &right.0) {
                Some(truth) => Value::Bool(truth),
                None => {
                    let operands = self.operands(left, right.clone())?;
                    let row = MAP_OPS.iter().find(|r| r.arity == 2 && r.symbol == Some(op.symbol()));
                    let row = row.ok_or_else(|| Problem::new("this comparison is not defined for arrays", at))?;
                    self.map(row.op, &operands, at)?
                }
            };
            all = Some(match all {
                None => one,
                Some(Value::Bool(x)) if matches!(one, Value::Bool(_)) => {
                    Value::Bool(x && matches!(one, Value::Bool(true)))
                }
                Some(before) => {
                    let operands = self.operands((before, at), (one, at))?;
                    self.map(MapOp::LogicalAnd, &operands, at)?
                }
            });
            left = right;
        }
        all.ok_or_else(|| Problem::new("nothing to compare with", at))
    }

    fn call(
        &self,
        name: &str,
        receiver: Option<(Value, Span)>,
        arguments: &[Argument],
        given: Vec<(Value, Span)>,
        at: Span,
    ) -> Result<Value, Problem> {
        let is_method = receiver.is_some();
        let found = Function::find(name).filter(|f| !is_method || f.is_method());
        let Some(f) = found else {
            let what = if is_method { "method" } else { "function" };
            let near = nearest(
                name,
                function_names().filter(|n| !is_method || Function::find(n).is_some_and(|f| f.is_method())),
            );
            let help = match near {
                Some(near) => Some(format!("did you mean '{near}'?")),
                None if self.assigned.contains_key(name) || self.env.names.contains_key(name) => {
                    Some(format!("'{name}' is a value; index it with '[', multiply with '*'"))
                }
                None => None,
            };
            return Err(Problem::new(format!("there is no {what} '{name}'"), at).maybe_help(help));
        };
        let mut call = Call::bind(name, at, f.signature(), receiver, arguments, given, self.env.new_array)?;
        f.call(&mut call).map_err(|fault| fault.at(at))
    }

    fn attribute(&self, (x, span): (Value, Span), name: &str, at: Span) -> Result<Value, Problem> {
        if matches!(x, Value::Module) {
            return match constant(name) {
                Some(value) if !RESERVED.contains(&name) => Ok(value),
                _ if Function::find(name).is_some() => Err(Problem::new(format!("'{name}' is a function"), at)),
                _ => Err(Problem::new(format!("unknown name '{name}'"), at)),
            };
        }
        let x = to_array(x, span, self.env.new_array)?;
        let fault = |e: lazuli_graph::Error| Fault::from(e).at(at);
        Ok(match name {
            "T" => Value::Array(x.t()),
            "mT" => Value::Array(x.swapaxes(-1, -2).map_err(fault)?),
            "shape" => Value::Tuple(x.shape().iter().map(|&n| Value::Int(n as i128)).collect()),
            "ndim" => Value::Int(x.shape().rank() as i128),
            "size" => Value::Int(x.shape().elements() as i128),
            "dtype" => Value::DType(x.dtype()),
            _ => {
                let problem = Problem::new(format!("arrays have no attribute '{name}'"), at);
                return Err(match Function::find(name).filter(|f| f.is_method()) {
                    Some(_) => problem.help(format!("it is a method: write .{name}()")),
                    None => problem
                        .maybe_help(nearest(name, ATTRIBUTES.iter().copied()).map(|n| format!("did you mean '{n}'?"))),
                });
            }
        })
    }

    fn subscript(&mut self, (x, span): (Value, Span), entries: &[Subscript], at: Span) -> Result<Value, Problem> {
        let mut indices = Vec::new();
        for entry in entries {
            match entry {
                Subscript::Value(id) => match self.take(*id) {
                    // `a[(1, 2)]` is `a[1, 2]`.
                    (Value::Tuple(items), span) if entries.len() == 1 => {
                        for item in items {
                            indices.push(index(&item, span)?);
                        }
                    }
                    (value, span) => indices.push(index(&value, span)?),
                },
                Subscript::Slice(parts) => {
                    let mut bound = |part: &Option<NodeId>| {
                        part.map(|id| self.take(id)).map_or(Ok(None), |(value, span)| match value {
                            Value::None => Ok(None),
                            // Beyond 64 bits is beyond any axis.
                            Value::Int(n) => Ok(Some(n.clamp(i64::MIN as i128, i64::MAX as i128) as i64)),
                            other => {
                                let text = format!("a slice's bounds must be integers, not {}", other.describe());
                                Err(Problem::new(text, span))
                            }
                        })
                    };
                    let [start, stop, step] = parts;
                    let (start, stop) = (bound(start)?, bound(stop)?);
                    indices.push(Index::Slice { start, stop, step: bound(step)?.unwrap_or(1) });
                }
            }
        }
        if let Value::Tuple(items) = &x {
            let [Index::At(i)] = indices[..] else {
                return Err(Problem::new("a tuple is indexed by one integer", at));
            };
            let n = items.len() as i64;
            let i = if i < 0 { i.saturating_add(n) } else { i };
            return items
                .get(usize::try_from(i).unwrap_or(usize::MAX))
                .cloned()
                .ok_or_else(|| Problem::new(format!("index out of range for a tuple of {n}"), at));
        }
        let x = to_array(x, span, self.env.new_array)?;
        x.index(&indices).map(Value::Array).map_err(|e| Fault::from(e).at(at))
    }
}

fn index(value: &Value, span: Span) -> Result<Index, Problem> {
    match value {
        Value::None => Ok(Index::NewAxis),
        Value::Ellipsis => Ok(Index::Ellipsis),
        Value::Int(n) => {
            i64::try_from(*n).map(Index::At).map_err(|_| Problem::new(format!("index {n} is out of range"), span))
        }
        Value::Array(_) | Value::List(_) | Value::Bool(_) => {
            Err(Problem::new("an index must be an integer, a slice, None or '...'", span)
                .help("to choose by a condition, use where(condition, a, b)"))
        }
        other => Err(Problem::new(format!("an index must be an integer or a slice, not {}", other.describe()), span)),
    }
}
