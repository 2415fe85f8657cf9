//! What can go wrong when an expression is computed.

use lazuli_graph::VerifyErrors;
use lazuli_runtime::matmul::MatmulError;
use lazuli_runtime::threads::ThreadsError;
use lazuli_runtime::{AllocError, FormatError, TensorError};

/// An error of computing. The user's faults come first; the last two are ours.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The expression has no meaning: found when it was built.
    #[error(transparent)]
    Expr(#[from] lazuli_graph::Error),
    /// A tensor is not what was asked for.
    #[error("{0}")]
    Tensor(String),
    /// A file could not be read or written.
    #[error("{0}")]
    Format(String),
    /// More memory than the limit allows. Nothing was allocated.
    #[error(
        "the computation needs {needed} bytes, more than the limit of {limit}\n  help: raise the memory limit, or compute in parts"
    )]
    MemoryLimit {
        /// The peak of results and temporaries.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// The system has no more memory.
    #[error("{0}")]
    Alloc(String),
    /// The system gives no more threads.
    #[error("{0}")]
    Threads(String),
    /// The cancel token was set.
    #[error("cancelled")]
    Cancelled,
    /// A function was called with arguments it was not made for.
    #[error("{0}")]
    Call(String),
    /// A value of the wrong kind in a configuration.
    #[error("{0}")]
    Config(String),
    /// The optimizer broke a graph: a bug in Lazuli.
    #[error("internal error: {0}\n  help: this is a bug in Lazuli; please report it with the text above")]
    Verify(String),
    /// A kernel could not be compiled or bound: a bug in Lazuli.
    #[error("internal error: {0}\n  help: this is a bug in Lazuli; please report it with the text above")]
    Internal(String),
}

impl From<TensorError> for Error {
    fn from(e: TensorError) -> Error {
        Error::Tensor(e.to_string())
    }
}

impl From<FormatError> for Error {
    fn from(e: FormatError) -> Error {
        Error::Format(e.to_string())
    }
}

impl From<AllocError> for Error {
    fn from(e: AllocError) -> Error {
        Error::Alloc(e.to_string())
    }
}

impl From<ThreadsError> for Error {
    fn from(e: ThreadsError) -> Error {
        Error::Threads(e.to_string())
    }
}

impl From<MatmulError> for Error {
    fn from(e: MatmulError) -> Error {
        match e {
            MatmulError::Alloc(e) => e.into(),
            MatmulError::Threads(e) => e.into(),
            e => Error::Internal(e.to_string()),
        }
    }
}

impl From<VerifyErrors> for Error {
    fn from(e: VerifyErrors) -> Error {
        Error::Verify(e.to_string())
    }
}

impl From<lazuli_jit::LaunchError> for Error {
    fn from(e: lazuli_jit::LaunchError) -> Error {
        Error::Internal(e.to_string())
    }
}

impl From<lazuli_jit::CodeError> for Error {
    fn from(e: lazuli_jit::CodeError) -> Error {
        Error::Internal(e.to_string())
    }
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
