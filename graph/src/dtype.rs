//! Element types and NumPy's rules to promote them.

use std::fmt;

/// The type of an array's elements.
///
/// ```
/// use lazuli_graph::DType;
/// assert_eq!(DType::F32.size(), 4);
/// assert_eq!("int16".parse::<DType>().unwrap(), DType::I16);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum DType {
    /// `bool`: one byte, 0 or 1.
    Bool,
    /// `int8`.
    I8,
    /// `int16`.
    I16,
    /// `int32`.
    I32,
    /// `int64`.
    I64,
    /// `uint8`.
    U8,
    /// `uint16`.
    U16,
    /// `uint32`.
    U32,
    /// `uint64`.
    U64,
    /// `float16`: IEEE binary16.
    F16,
    /// `bfloat16`: the upper half of a binary32.
    BF16,
    /// `float32`.
    F32,
    /// `float64`.
    F64,
}

/// What sort of number a [`DType`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// Unsigned integers.
    Unsigned,
    /// Signed integers.
    Signed,
    /// Floating point numbers.
    Float,
}

impl DType {
    /// Every dtype, in the order of the enum.
    pub const ALL: [DType; 13] = [
        DType::Bool,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::I8 | DType::U8 => 1,
            DType::I16 | DType::U16 | DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::U32 | DType::F32 => 4,
            DType::I64 | DType::U64 | DType::F64 => 8,
        }
    }

    /// NumPy's name, such as `float64`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// The short name of the text form, such as `f64`.
    pub const fn short(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::U16 => "u16",
            DType::U32 => "u32",
            DType::U64 => "u64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        }
    }

    /// What sort of number this is.
    pub const fn kind(self) -> Kind {
        match self {
            DType::Bool => Kind::Bool,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => Kind::Signed,
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => Kind::Unsigned,
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Kind::Float,
        }
    }

    /// Whether this is a floating point type.
    pub const fn is_float(self) -> bool {
        matches!(self.kind(), Kind::Float)
    }

    /// Whether this is an integer type (`bool` is not).
    pub const fn is_integer(self) -> bool {
        matches!(self.kind(), Kind::Signed | Kind::Unsigned)
    }

    const fn signed(size: usize) -> DType {
        match size {
            1 => DType::I8,
            2 => DType::I16,
            4 => DType::I32,
            _ => DType::I64,
        }
    }

    /// The dtype two arrays meet in: NumPy's `result_type`.
    ///
    /// Values are never looked at. `bfloat16` follows the package `ml_dtypes`, with `float32` where it meets `float16`.
    ///
    /// ```
    /// use lazuli_graph::DType;
    /// assert_eq!(DType::I32.promote(DType::F32), DType::F64);
    /// assert_eq!(DType::U64.promote(DType::I64), DType::F64);
    /// ```
    pub const fn promote(self, other: DType) -> DType {
        if self as u8 == other as u8 {
            return self;
        }
        let (a, b) = if (self as u8) < (other as u8) { (self, other) } else { (other, self) };
        match (a.kind(), b.kind()) {
            (Kind::Bool, _) => b,
            (Kind::Signed, Kind::Signed) | (Kind::Unsigned, Kind::Unsigned) => {
                if a.size() > b.size() {
                    a
                } else {
                    b
                }
            }
            // The enum's order puts signed before unsigned.
            (Kind::Signed, Kind::Unsigned) => {
                if a.size() > b.size() {
                    a
                } else if b.size() < 8 {
                    DType::signed(b.size() * 2)
                } else {
                    DType::F64
                }
            }
            (Kind::Signed | Kind::Unsigned, Kind::Float) => match (a.size(), b) {
                (1, _) => b,
                (2, DType::F64) | (4 | 8, _) => DType::F64,
                _ => DType::F32,
            },
            (Kind::Float, Kind::Float) => {
                if matches!((a, b), (DType::F16, DType::BF16)) {
                    DType::F32
                } else {
                    b
                }
            }
            _ => b,
        }
    }

    /// The dtype an array and a weak scalar (a literal of the host language) meet in: NEP 50.
    ///
    /// ```
    /// use lazuli_graph::{DType, Weak};
    /// assert_eq!(DType::U8.promote_weak(Weak::Int), DType::U8);
    /// assert_eq!(DType::U8.promote_weak(Weak::Float), DType::F64);
    /// assert_eq!(DType::F32.promote_weak(Weak::Float), DType::F32);
    /// ```
    pub const fn promote_weak(self, weak: Weak) -> DType {
        match (self.kind(), weak) {
            (_, Weak::Bool) => self,
            (Kind::Bool, Weak::Int) => DType::I64,
            (_, Weak::Int) => self,
            (Kind::Float, Weak::Float) => self,
            (_, Weak::Float) => DType::F64,
        }
    }
}

/// The kind of a literal whose dtype gives way to that of the array it meets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Weak {
    /// `true`, `false`.
    Bool,
    /// An integer literal.
    Int,
    /// A floating point literal.
    Float,
}

impl Weak {
    /// The dtype a literal has where nothing else decides.
    pub const fn default_dtype(self) -> DType {
        match self {
            Weak::Bool => DType::Bool,
            Weak::Int => DType::I64,
            Weak::Float => DType::F64,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is not a dtype's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown dtype '{0}'; known are bool, int8 … int64, uint8 … uint64, float16, bfloat16, float32, float64")]
pub struct UnknownDType(pub String);

impl std::str::FromStr for DType {
    type Err = UnknownDType;

    /// Takes NumPy's names (`float32`) and the short ones (`f32`).
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        DType::ALL.into_iter().find(|d| d.name() == s || d.short() == s).ok_or_else(|| UnknownDType(s.to_owned()))
    }
}
