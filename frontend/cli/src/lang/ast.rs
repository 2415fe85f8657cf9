//! The syntax tree: a flat arena of nodes.
//!
//! Invariants:
//! - a node stands after all its operands, and is the operand of at most one node;
//! - so a walk by number meets operands first, and neither walking nor dropping a tree recurses.

use super::error::{Source, Span};
use std::sync::Arc;

/// The number of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// The number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A parsed program.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) source: Arc<Source>,
    pub(super) nodes: Vec<Node>,
    pub(super) statements: Vec<Statement>,
}

impl Program {
    /// The statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The nodes, operands before users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node `id`.
    ///
    /// # Panics
    /// If the id is another program's.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Every name that is read or assigned.
    pub fn names(&self) -> std::collections::HashSet<&str> {
        let read = self.nodes.iter().filter_map(|n| match &n.kind {
            NodeKind::Name(name) => Some(name.as_str()),
            _ => None,
        });
        read.chain(self.statements.iter().filter_map(|s| s.target.as_ref()).map(|t| t.0.as_str())).collect()
    }

    /// The text and its name.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// `name = value`, or a value alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The name on the left and its place.
    pub target: Option<(String, Span)>,
    /// The value.
    pub value: NodeId,
}

/// A node and its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it stands, operands included.
    pub span: Span,
    /// Where an error of the operation itself points: the operator, or the whole.
    pub at: Span,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// An integer literal.
    Int(i128),
    /// A floating point literal.
    Float(f64),
    /// A string literal.
    Str(String),
    /// A name.
    Name(String),
    /// `...`.
    Ellipsis,
    /// `-x`, `+x`, `~x`.
    Unary(UnaryOp, NodeId),
    /// `x + y` and its like.
    Binary(BinaryOp, NodeId, NodeId),
    /// `x < y <= z`: a first operand, then operators with their right operands.
    Compare(NodeId, Vec<(CompareOp, NodeId)>),
    /// `name(arguments)`.
    Call(String, Vec<Argument>),
    /// `receiver.name(arguments)`.
    Method(NodeId, String, Vec<Argument>),
    /// `x.name`.
    Attribute(NodeId, String),
    /// `x[indices]`.
    Subscript(NodeId, Vec<Subscript>),
    /// `(x, y)`.
    Tuple(Vec<NodeId>),
    /// `[x, y]`.
    List(Vec<NodeId>),
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The keyword and its place, if it has one.
    pub keyword: Option<(String, Span)>,
    /// The value.
    pub value: NodeId,
}

/// One entry of an index.
#[derive(Clone, Debug, PartialEq)]
pub enum Subscript {
    /// A value: an integer, `None`, `...`.
    Value(NodeId),
    /// `start:stop:step`, each of which may be missing.
    Slice([Option<NodeId>; 3]),
}

/// A prefix operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnaryOp {
    /// `-`.
    Negative,
    /// `+`.
    Positive,
    /// `~`.
    Invert,
}

impl UnaryOp {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Negative => "-",
            UnaryOp::Positive => "+",
            UnaryOp::Invert => "~",
        }
    }
}

/// How tightly an operator binds: Python's order. Prefix operators stand between the last two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Precedence {
    /// `<` `<=` `>` `>=` `==` `!=`, which chain.
    Compare,
    /// `|`.
    BitOr,
    /// `^`.
    BitXor,
    /// `&`.
    BitAnd,
    /// `<<` `>>`.
    Shift,
    /// `+` `-`.
    Sum,
    /// `*` `/` `//` `%` `@`.
    Term,
    /// `**`, which binds from the right.
    Power,
}

macro_rules! operators {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $symbol:literal $precedence:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $(#[doc = concat!("`", $symbol, "`.")] $variant),* }

        impl $name {
            /// The operator written as `symbol`.
            pub fn from_symbol(symbol: &str) -> Option<$name> {
                match symbol { $($symbol => Some($name::$variant),)* _ => None }
            }

            /// The operator as it is written.
            pub fn symbol(self) -> &'static str {
                match self { $($name::$variant => $symbol),* }
            }

            /// How tightly it binds.
            pub fn precedence(self) -> Precedence {
                match self { $($name::$variant => Precedence::$precedence),* }
            }
        }
    };
}

operators! {
    /// An operator between two operands, but for comparisons.
    BinaryOp {
        BitOr "|" BitOr, BitXor "^" BitXor, BitAnd "&" BitAnd, LeftShift "<<" Shift, RightShift ">>" Shift,
        Add "+" Sum, Subtract "-" Sum,
        Multiply "*" Term, Divide "/" Term, FloorDivide "//" Term, Remainder "%" Term, Matmul "@" Term,
        Power "**" Power,
    }
}

operators! {
    /// A comparison.
    CompareOp {
        Less "<" Compare, LessEqual "<=" Compare, Greater ">" Compare, GreaterEqual ">=" Compare,
        Equal "==" Compare, NotEqual "!=" Compare,
    }
}

impl Program {
    /// A node's text as it stands before a dot, which would become part of a number.
    fn before_dot(&self, node: NodeId, text: String) -> String {
        match self.nodes[node.index()].kind {
            NodeKind::Int(_) | NodeKind::Float(_) => format!("({text})"),
            _ => text,
        }
    }

    /// The node with every operation in parentheses: the tree as text, for tests and error reports.
    ///
    /// ```
    /// let program = lazuli_cli::lang::parse("demo", "-x ** 2 + y")?;
    /// assert_eq!(program.explicit(program.statements()[0].value), "((-(x ** 2)) + y)");
    /// # Ok::<(), lazuli_cli::lang::LangError>(())
    /// ```
    pub fn explicit(&self, root: NodeId) -> String {
        // By number, operands come first; so one pass makes every text from finished ones.
        let mut texts: Vec<String> = Vec::with_capacity(root.index() + 1);
        for node in &self.nodes[..=root.index()] {
            let mut take = |id: NodeId| std::mem::take(&mut texts[id.index()]);
            let text = match &node.kind {
                NodeKind::Int(x) => x.to_string(),
                NodeKind::Float(x) => format!("{x:?}"),
                NodeKind::Str(s) => format!("'{s}'"),
                NodeKind::Name(n) => n.clone(),
                NodeKind::Ellipsis => "...".to_owned(),
                NodeKind::Unary(op, x) => format!("({}{})", op.symbol(), take(*x)),
                NodeKind::Binary(op, x, y) => format!("({} {} {})", take(*x), op.symbol(), take(*y)),
                NodeKind::Compare(x, rest) => {
                    let mut text = format!("({}", take(*x));
                    rest.iter().for_each(|(op, y)| text += &format!(" {} {}", op.symbol(), take(*y)));
                    text + ")"
                }
                NodeKind::Call(name, arguments) => format!("{name}({})", join_arguments(arguments, &mut take)),
                NodeKind::Method(x, name, arguments) => {
                    let head = self.before_dot(*x, take(*x));
                    format!("{head}.{name}({})", join_arguments(arguments, &mut take))
                }
                NodeKind::Attribute(x, name) => format!("{}.{name}", self.before_dot(*x, take(*x))),
                NodeKind::Subscript(x, entries) => {
                    let head = take(*x);
                    let part = |entry: &Subscript| match entry {
                        Subscript::Value(v) => take(*v),
                        Subscript::Slice([start, stop, step]) => {
                            let mut one = |e: &Option<NodeId>| e.map(&mut take).unwrap_or_default();
                            let (start, stop) = (one(start), one(stop));
                            match step {
                                Some(step) => format!("{start}:{stop}:{}", take(*step)),
                                None => format!("{start}:{stop}"),
                            }
                        }
                    };
                    format!("{head}[{}]", entries.iter().map(part).collect::<Vec<_>>().join(", "))
                }
                NodeKind::Tuple(items) => match &items[..] {
                    [one] => format!("({},)", take(*one)),
                    _ => format!("({})", items.iter().map(|i| take(*i)).collect::<Vec<_>>().join(", ")),
                },
                NodeKind::List(items) => {
                    format!("[{}]", items.iter().map(|i| take(*i)).collect::<Vec<_>>().join(", "))
                }
            };
            texts.push(text);
        }
        texts.pop().unwrap_or_default()
    }
}

fn join_arguments(arguments: &[Argument], take: &mut impl FnMut(NodeId) -> String) -> String {
    let one = |a: &Argument| match &a.keyword {
        Some((name, _)) => format!("{name}={}", take(a.value)),
        None => take(a.value),
    };
    arguments.iter().map(one).collect::<Vec<_>>().join(", ")
}
