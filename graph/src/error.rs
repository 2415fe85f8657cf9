//! Errors of building an expression: what, where, and what to do.

use crate::{DType, IndexError, Shape, ShapeError};
use std::fmt;
use std::panic::Location;

/// An expression that has no meaning, found as it was built.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    op: &'static str,
    at: &'static Location<'static>,
    operands: Vec<OperandNote>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes that do not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// An index that does not fit.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A dtype the operation has no meaning for.
    #[error("{op} is not defined for {dtype}")]
    DType {
        /// The operation.
        op: &'static str,
        /// The dtype its operands promote to.
        dtype: DType,
    },
    /// An integer literal outside the range of the dtype it takes on.
    #[error("the integer {value} does not fit {dtype}")]
    Literal {
        /// The literal.
        value: String,
        /// The dtype.
        dtype: DType,
    },
    /// A reduction without identity over no element.
    #[error("{0} of no elements has no value")]
    EmptyReduction(&'static str),
    /// Axes of matrix multiplication that do not fit.
    #[error("cannot multiply matrices of shapes {0} and {1}")]
    Matmul(Shape, Shape),
    /// Anything else that is wrong with arguments.
    #[error("{0}")]
    Argument(String),
}

impl ErrorKind {
    fn help(&self) -> Option<&'static str> {
        match self {
            ErrorKind::Shape(ShapeError::Broadcast(..) | ShapeError::BroadcastTo(..)) => {
                Some("dimensions must be equal or 1, aligned from the right")
            }
            ErrorKind::Shape(ShapeError::Axis { .. }) => Some("axes count from 0, or from -1 at the end"),
            ErrorKind::Shape(ShapeError::Reshape { .. }) => {
                Some("the number of elements must stay the same; one extent may be -1")
            }
            ErrorKind::DType { .. } => Some("convert the operands first, with astype"),
            ErrorKind::Literal { .. } => {
                Some("use a value in range, or convert the array to a wider dtype with astype")
            }
            ErrorKind::Matmul(..) => Some("the last axis of the left must equal the last but one of the right"),
            _ => None,
        }
    }
}

/// What an error says of one operand.
#[derive(Clone, Debug)]
pub struct OperandNote {
    /// Its shape.
    pub shape: Shape,
    /// Its dtype.
    pub dtype: DType,
    /// The operation that made it.
    pub op: &'static str,
    /// Where that was.
    pub at: &'static Location<'static>,
}

impl Error {
    /// An error of `op`, called at `at`.
    pub fn new(kind: impl Into<ErrorKind>, op: &'static str, at: &'static Location<'static>) -> Error {
        Error(Box::new(Inner { kind: kind.into(), op, at, operands: Vec::new() }))
    }

    /// The same error with notes on the operands.
    #[must_use]
    pub fn with_operands(mut self, notes: impl IntoIterator<Item = OperandNote>) -> Error {
        self.0.operands.extend(notes);
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The operation at fault.
    pub fn op(&self) -> &'static str {
        self.0.op
    }

    /// Where in the caller's source the operation was built.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// What is known of the operands, left to right.
    pub fn operands(&self) -> &[OperandNote] {
        &self.0.operands
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<&'static str> {
        self.0.kind.help()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, op, at, operands } = &*self.0;
        write!(f, "{kind}\n  in: {op}, built at {at}")?;
        let names: &[&str] = if operands.len() == 2 { &["left", "right"] } else { &["operand"] };
        let shapes: Vec<String> = operands.iter().map(|o| format!("{} {}", o.shape, o.dtype.short())).collect();
        let places: Vec<String> = operands.iter().map(|o| o.at.to_string()).collect();
        let width = |of: &[String]| of.iter().map(String::len).max().unwrap_or(0);
        let (wide, far) = (width(&shapes), width(&places));
        for (i, o) in operands.iter().enumerate() {
            let name = names[i.min(names.len() - 1)];
            write!(f, "\n  {name:5} {:wide$}   built at {:far$} ({})", shapes[i], places[i], o.op)?;
        }
        if let Some(help) = kind.help() {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
