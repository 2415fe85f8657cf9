//! Arguments of calls: binding them to a signature, and reading them as what a function needs.

use super::ast::Argument;
use super::error::{Problem, Span, nearest};
use super::eval::NewArray;
use super::value::Value;
use lazuli_graph::{Axes, DType, Error, Expr, Op, Scalar, Shape, ShapeError};

/// Why a function has no result; it becomes a [`Problem`] once the place is known.
pub(super) enum Fault {
    /// The array graph refuses.
    Graph(Box<Error>),
    /// With a place of its own.
    Problem(Box<Problem>),
    /// At the place of the operation.
    Text(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Graph(Box::new(error))
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        Fault::Problem(Box::new(problem))
    }
}

impl From<ShapeError> for Fault {
    fn from(error: ShapeError) -> Fault {
        Fault::Text(error.to_string())
    }
}

impl Fault {
    /// The problem, placed at `at` if it has no place yet.
    pub(super) fn at(self, at: Span) -> Problem {
        match self {
            Fault::Problem(problem) => *problem,
            Fault::Text(text) => Problem::new(text, at),
            Fault::Graph(error) => {
                let mut problem =
                    Problem::new(error.kind().to_string(), at).maybe_help(error.help().map(str::to_owned));
                let operands = error.operands();
                for (i, operand) in operands.iter().enumerate() {
                    let side = match (operands.len(), i) {
                        (1, _) => "operand".to_owned(),
                        (2, 0) => "left".to_owned(),
                        (2, _) => "right".to_owned(),
                        _ => format!("operand {}", i + 1),
                    };
                    problem.notes.push(format!("{side}: {} {}", operand.dtype, operand.shape));
                }
                problem
            }
        }
    }
}

/// One parameter of a [`Signature`].
struct Param {
    /// Names it can be given by; the first is shown.
    names: Vec<&'static str>,
    required: bool,
    /// Takes all positional arguments that are left.
    rest: bool,
}

/// What arguments a function takes, as NumPy's documentation writes it: `a, axis=None, a_min|min=None`, `*shape`.
/// A name after `|` is another name of the parameter.
#[derive(Clone, Copy)]
pub(super) struct Signature(pub(super) &'static str);

impl Signature {
    fn params(self) -> Vec<Param> {
        let one = |text: &'static str| {
            let (names, default) = text.split_once('=').map_or((text, None), |(n, d)| (n, Some(d)));
            let rest = names.starts_with('*');
            let names = names.trim_start_matches('*').split('|').collect();
            Param { names, required: default.is_none() && !rest, rest }
        };
        self.0.split(", ").filter(|p| !p.is_empty()).map(one).collect()
    }

    /// The call as documentation shows it.
    pub(super) fn show(self, name: &str) -> String {
        let one = |p: &str| match (p.split_once('|'), p.split_once('=')) {
            (Some((first, _)), Some((_, default))) => format!("{first}={default}"),
            (Some((first, _)), None) => first.to_owned(),
            _ => p.to_owned(),
        };
        format!("{name}({})", self.0.split(", ").map(one).collect::<Vec<_>>().join(", "))
    }
}

/// The names of a parameter, and its argument.
type Slot = (Vec<&'static str>, Option<(Value, Span)>);

/// A call whose arguments have been bound.
pub(super) struct Call<'a> {
    /// The function's name as it was written.
    pub(super) name: &'a str,
    /// The name's place.
    pub(super) at: Span,
    slots: Vec<Slot>,
    /// Positional arguments beyond the named ones, where the signature takes them.
    pub(super) rest: Vec<(Value, Span)>,
    new_array: &'a NewArray,
}

impl<'a> Call<'a> {
    /// Binds `given` (values in the order of `arguments`, after the receiver of a method) to `signature`.
    pub(super) fn bind(
        name: &'a str,
        at: Span,
        signature: Signature,
        receiver: Option<(Value, Span)>,
        arguments: &[Argument],
        given: Vec<(Value, Span)>,
        new_array: &'a NewArray,
    ) -> Result<Call<'a>, Problem> {
        let params = signature.params();
        let usage = || format!("usage: {}", signature.show(name));
        let mut slots: Vec<Slot> = params.iter().filter(|p| !p.rest).map(|p| (p.names.clone(), None)).collect();
        let takes_rest = params.iter().any(|p| p.rest);
        let mut rest = Vec::new();
        let keywords = receiver.iter().map(|_| &None).chain(arguments.iter().map(|a| &a.keyword));
        let keywords: Vec<&Option<(String, Span)>> = keywords.collect();
        let mut keyword_seen = false;
        for (position, (keyword, (value, span))) in
            keywords.into_iter().zip(receiver.into_iter().chain(given)).enumerate()
        {
            let slot = match keyword {
                None if keyword_seen => {
                    return Err(Problem::new("a positional argument follows keyword arguments", span).help(usage()));
                }
                // Keyword-only once the rest begins.
                None if takes_rest && position >= params.iter().take_while(|p| !p.rest).count() => {
                    rest.push((value, span));
                    continue;
                }
                None => slots.get_mut(position).ok_or_else(|| {
                    Problem::new(format!("{name} takes at most {} arguments", params.len()), span).help(usage())
                })?,
                Some((keyword, place)) => {
                    keyword_seen = true;
                    let known: Vec<&str> = slots.iter().flat_map(|s| s.0.iter().copied()).collect();
                    let help = match nearest(keyword, known) {
                        Some(near) => format!("did you mean '{near}'? {}", usage()),
                        None => usage(),
                    };
                    let slot = slots.iter_mut().find(|s| s.0.contains(&keyword.as_str()));
                    let slot = slot.ok_or_else(|| {
                        Problem::new(format!("{name} has no argument '{keyword}'"), *place).help(help)
                    })?;
                    if slot.1.is_some() {
                        let message = format!("{name} got the argument '{keyword}' twice");
                        return Err(Problem::new(message, *place).help(usage()));
                    }
                    slot
                }
            };
            slot.1 = Some((value, span));
        }
        for param in params.iter().filter(|p| p.required) {
            if slots.iter().any(|s| s.0 == param.names && s.1.is_none()) {
                let message = format!("{name} needs the argument '{}'", param.names[0]);
                return Err(Problem::new(message, at).help(usage()));
            }
        }
        Ok(Call { name, at, slots, rest, new_array })
    }

    fn wrong(&self, what: &str, value: &Value, span: Span, wanted: &str) -> Problem {
        Problem::new(format!("{what} of {} must be {wanted}, not {}", self.name, value.describe()), span)
    }

    /// The argument `name`, unless it is missing or `None`.
    pub(super) fn take(&mut self, name: &str) -> Option<(Value, Span)> {
        let slot = self.slots.iter_mut().find(|s| s.0.contains(&name));
        slot.and_then(|s| s.1.take()).filter(|(value, _)| !matches!(value, Value::None))
    }

    /// A required argument.
    fn need(&mut self, name: &str) -> Result<(Value, Span), Problem> {
        let message = format!("{} needs the argument '{name}'", self.name);
        self.take(name).ok_or_else(|| Problem::new(message, self.at))
    }

    /// An array; numbers and lists become arrays of their default dtype.
    pub(super) fn array(&mut self, name: &str) -> Result<Expr, Problem> {
        let (value, span) = self.need(name)?;
        to_array(value, span, self.new_array)
    }

    /// An operand: an array, or a literal that gives way to the arrays it meets.
    pub(super) fn operand(&mut self, name: &str) -> Result<Expr, Problem> {
        let (value, span) = self.need(name)?;
        to_operand(value, span, self.new_array)
    }

    /// An operand that may be missing.
    pub(super) fn operand_or_none(&mut self, name: &str) -> Result<Option<Expr>, Problem> {
        self.take(name).map(|(value, span)| to_operand(value, span, self.new_array)).transpose()
    }

    /// A flag.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(default),
            Some((Value::Bool(x), _)) => Ok(x),
            Some((Value::Int(x @ (0 | 1)), _)) => Ok(x == 1),
            Some((value, span)) => Err(self.wrong(&format!("'{name}'"), &value, span, "True or False")),
        }
    }

    fn read_integer(&self, name: &str, value: &Value, span: Span) -> Result<i64, Problem> {
        match value {
            Value::Int(x) => i64::try_from(*x).map_err(|_| Problem::new(format!("{x} does not fit 64 bits"), span)),
            _ => {
                let problem = self.wrong(&format!("'{name}'"), value, span, "an integer");
                Err(match (self.name, value) {
                    ("min" | "max" | "amin" | "amax", Value::Array(_) | Value::Float(_)) => {
                        problem.help(format!("of two arrays: {}imum(a, b)", &self.name[self.name.len() - 3..]))
                    }
                    _ => problem,
                })
            }
        }
    }

    /// An integer.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        self.take(name).map(|(value, span)| self.read_integer(name, &value, span)).transpose()
    }

    /// An integer that cannot be negative.
    pub(super) fn size(&mut self, name: &str) -> Result<Option<usize>, Problem> {
        let Some((value, span)) = self.take(name) else { return Ok(None) };
        let n = self.read_integer(name, &value, span)?;
        usize::try_from(n).map(Some).map_err(|_| Problem::new(format!("'{name}' cannot be negative"), span))
    }

    /// A number of no dtype.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<Scalar>, Problem> {
        let Some((value, span)) = self.take(name) else { return Ok(None) };
        match value.scalar() {
            Some(x) => Ok(Some(x)),
            None if value.is_number() => Err(Problem::new("this integer does not fit 64 bits", span)),
            None => Err(self.wrong(&format!("'{name}'"), &value, span, "a number, not computed from arrays")),
        }
    }

    /// Integers: one, or a tuple or list of them.
    pub(super) fn integers(&mut self, name: &str) -> Result<Option<Vec<i64>>, Problem> {
        let Some((value, span)) = self.take(name) else { return Ok(None) };
        match &value {
            Value::Tuple(items) | Value::List(items) => {
                items.iter().map(|v| self.read_integer(name, v, span)).collect::<Result<_, _>>().map(Some)
            }
            _ => Ok(Some(vec![self.read_integer(name, &value, span)?])),
        }
    }

    /// The rest of the arguments as integers; a single tuple or list among them stands for its items.
    pub(super) fn rest_integers(&mut self) -> Result<Vec<i64>, Problem> {
        let mut rest = std::mem::take(&mut self.rest);
        if let [(Value::Tuple(items) | Value::List(items), span)] = &mut rest[..] {
            let span = *span;
            rest = std::mem::take(items).into_iter().map(|v| (v, span)).collect();
        }
        rest.iter().map(|(v, span)| self.read_integer("shape or axes", v, *span)).collect()
    }

    /// A shape: an integer or a tuple or list of them.
    pub(super) fn shape(&mut self, name: &str) -> Result<Shape, Fault> {
        let span = self.slots.iter().find(|s| s.0.contains(&name)).and_then(|s| s.1.as_ref()).map_or(self.at, |s| s.1);
        let Some(extents) = self.integers(name)? else {
            return Err(Problem::new(format!("{} needs a shape", self.name), self.at).into());
        };
        let negative = |_| Problem::new("an extent cannot be negative", span);
        let extents = extents.iter().map(|&n| usize::try_from(n).map_err(negative)).collect::<Result<Vec<_>, _>>()?;
        Shape::new(&extents).map_err(|e| Problem::new(e.to_string(), span).into())
    }

    /// Axes of `x`: an integer, a tuple, or all of them where the argument is missing.
    pub(super) fn axes(&mut self, name: &str, x: &Expr) -> Result<Axes, Fault> {
        match self.integers(name)? {
            None => Ok(Axes::all(x.shape().rank())),
            Some(axes) => Ok(x.shape().axes(&axes).map_err(|e| Expr::error(e, "axis", &[x]))?),
        }
    }

    /// A dtype, by name or as a string.
    pub(super) fn dtype(&mut self, name: &str) -> Result<Option<DType>, Problem> {
        let Some((value, span)) = self.take(name) else { return Ok(None) };
        match &value {
            Value::DType(d) => Ok(Some(*d)),
            Value::Str(s) => match super::functions::dtype(s) {
                Some(d) => Ok(Some(d)),
                None => {
                    let near = nearest(s, DType::ALL.iter().map(|d| d.name()));
                    Err(Problem::new(format!("there is no dtype '{s}'"), span)
                        .maybe_help(near.map(|n| format!("did you mean '{n}'?"))))
                }
            },
            _ => Err(self.wrong(&format!("'{name}'"), &value, span, "a dtype")),
        }
    }
}

fn too_wide(span: Span) -> Problem {
    Problem::new("this integer does not fit 64 bits", span).help("write it as a float, with a point or an exponent")
}

/// The value as an operand of an elementwise operation: arrays as they are, numbers as literals.
pub(super) fn to_operand(value: Value, span: Span, new_array: &NewArray) -> Result<Expr, Problem> {
    if value.is_number() {
        return Ok(Expr::literal(value.scalar().ok_or_else(|| too_wide(span))?));
    }
    to_array(value, span, new_array)
}

/// The value as an array with a dtype of its own.
pub(super) fn to_array(value: Value, span: Span, new_array: &NewArray) -> Result<Expr, Problem> {
    match value {
        Value::Array(x) => Ok(x),
        Value::List(items) => array_of_list(items, span, new_array),
        ref number if number.is_number() => {
            Ok(Expr::full(number.scalar().ok_or_else(|| too_wide(span))?, Shape::scalar()))
        }
        other => Err(Problem::new(format!("expected an array or a number, found {}", other.describe()), span)),
    }
}

/// A nested list of numbers as an array: of `bool`, `int64`, `uint64` or `float64`, the first that holds all.
fn array_of_list(items: Vec<Value>, span: Span, new_array: &NewArray) -> Result<Expr, Problem> {
    let mut extents = vec![items.len()];
    let mut level = items;
    while let Some(Value::List(first) | Value::Tuple(first)) = level.first() {
        let length = first.len();
        extents.push(length);
        let mut next = Vec::with_capacity(level.len() * length);
        for row in level {
            match row {
                Value::List(row) | Value::Tuple(row) if row.len() == length => next.extend(row),
                _ => return Err(Problem::new("the rows of this list have different lengths", span)),
            }
        }
        level = next;
    }
    if let Some(other) = level.iter().find(|v| !v.is_number()) {
        return Err(Problem::new(format!("a list holds numbers of one depth, not {}", other.describe()), span));
    }
    let shape = Shape::new(&extents).map_err(|e| Problem::new(e.to_string(), span))?;
    let all = |test: fn(&Value) -> bool| level.iter().all(test);
    let dtype = if level.is_empty() || !all(|v| v.integer().is_some()) {
        DType::F64
    } else if all(|v| matches!(v, Value::Bool(_))) {
        DType::Bool
    } else if all(|v| v.scalar().is_some_and(|s| s.dtype() != DType::U64)) {
        DType::I64
    } else {
        DType::U64
    };
    let fits = |v: &Value| match dtype {
        DType::F64 => v.float().map(|x| Scalar::from_f64(dtype, x)),
        _ => v.scalar().filter(|s| dtype != DType::U64 || s.dtype() == dtype || s.as_i64() >= 0).map(|s| s.cast(dtype)),
    };
    let scalars: Option<Vec<Scalar>> = level.iter().map(fits).collect();
    Ok(new_array(&scalars.ok_or_else(|| too_wide(span))?, dtype, shape))
}

/// Literals among literals alone have their default dtype, as in a call of a NumPy function.
pub(super) fn settle(operands: &mut [Expr]) {
    if operands.iter().all(|e| e.weak().is_some()) {
        for e in operands {
            if let Op::Const(value) = *e.op() {
                *e = Expr::full(value, Shape::scalar());
            }
        }
    }
}
