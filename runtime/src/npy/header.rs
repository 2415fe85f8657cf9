//! The header of a `.npy` file: magic, version, length, and a Python dictionary of three keys.
//!
//! | version | length field | text |
//! |---|---|---|
//! | 1.0 | 2 bytes | Latin-1 |
//! | 2.0 | 4 bytes | Latin-1 |
//! | 3.0 | 4 bytes | UTF-8 |
//!
//! Only what `numpy.save` writes is accepted: nothing is evaluated.

use crate::file::Problem;
use lazuli_graph::{DType, MAX_RANK, Shape};
use std::io::{self, Read};

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes before the dictionary in version 1.0.
pub(super) const PREFIX_V1: usize = 10;
/// The longest dictionary. NumPy's own fit 128 bytes unless there are records.
const MAX_LEN: usize = 64 << 10;

/// What the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) dtype: DType,
    /// The elements are in the other byte order than the machine's.
    pub(super) swap: bool,
    pub(super) fortran: bool,
    pub(super) shape: Shape,
    /// Bytes of the header itself.
    len: usize,
}

impl Header {
    /// Reads the header from the start of a stream, and nothing after it.
    pub(super) fn read(stream: &mut impl Read) -> Result<Header, Problem> {
        let mut start = [0; 8];
        exact(stream, &mut start, Problem::Magic("a .npy file"))?;
        let (magic, version) = start.split_at(6);
        if magic != MAGIC {
            return Err(Problem::Magic("a .npy file"));
        }
        let cut = || Problem::Header("the file ends within it".to_owned());
        let (prefix, len) = match version {
            [1, 0] => {
                let mut len = [0; 2];
                exact(stream, &mut len, cut())?;
                (PREFIX_V1, usize::from(u16::from_le_bytes(len)))
            }
            [2 | 3, 0] => {
                let mut len = [0; 4];
                exact(stream, &mut len, cut())?;
                (PREFIX_V1 + 2, u32::from_le_bytes(len) as usize)
            }
            _ => return Err(Problem::Version(version[0], version[1])),
        };
        if len > MAX_LEN {
            return Err(Problem::Header(format!("it says it is {len} bytes long; at most {MAX_LEN} are read")));
        }
        let mut text = vec![0; len];
        exact(stream, &mut text, cut())?;
        let dict = Parser { text: &text, at: 0 }.dict().map_err(|e| match e {
            Fault::Syntax(at, what) => Problem::Header(format!("{what} at byte {}", prefix + at)),
            Fault::Problem(p) => p,
        })?;
        Ok(Header { len: prefix + len, ..dict })
    }

    /// Bytes of the elements.
    pub(super) fn data_bytes(&self) -> usize {
        self.shape.elements() * self.dtype.size()
    }

    /// Bytes of header and elements.
    pub(super) fn total(&self) -> u64 {
        self.len as u64 + self.data_bytes() as u64
    }

    /// Checks that there are as many bytes as the header says, or, where not `exact`, at least as many.
    pub(super) fn check_len(&self, have: u64, exact: bool) -> Result<(), Problem> {
        let need = self.total();
        if have < need {
            return Err(Problem::Truncated { need, have });
        }
        if exact && have > need {
            return Err(Problem::Trailing(have - need));
        }
        Ok(())
    }
}

/// Fills `to`; where the stream is too short, `short` is the error.
fn exact(stream: &mut impl Read, to: &mut [u8], short: Problem) -> Result<(), Problem> {
    stream.read_exact(to).map_err(|e| if e.kind() == io::ErrorKind::UnexpectedEof { short } else { Problem::Io(e) })
}

enum Fault {
    Syntax(usize, &'static str),
    Problem(Problem),
}

impl From<Problem> for Fault {
    fn from(p: Problem) -> Fault {
        Fault::Problem(p)
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault::Syntax(self.at, what))
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += found as usize;
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { self.fail(what) }
    }

    fn dict(mut self) -> Result<Header, Fault> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect(b'{', "'{' is missing")?;
        while !self.take(b'}') {
            let start = self.at;
            let key = self.string()?;
            self.expect(b':', "':' is missing")?;
            let again = match key {
                b"descr" => descr.replace(self.descr()?).is_some(),
                b"fortran_order" => fortran.replace(self.bool()?).is_some(),
                b"shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(Fault::Syntax(start, "a key other than 'descr', 'fortran_order' and 'shape'")),
            };
            if again {
                return Err(Fault::Syntax(start, "a key that was there before"));
            }
            if !self.take(b',') {
                self.expect(b'}', "',' or '}' is missing")?;
                break;
            }
        }
        if self.peek().is_some() {
            return self.fail("something follows the dictionary");
        }
        match (descr, fortran, shape) {
            (Some((dtype, swap)), Some(fortran), Some(shape)) => Ok(Header { dtype, swap, fortran, shape, len: 0 }),
            (None, ..) => self.fail("the key 'descr' is missing"),
            (_, None, _) => self.fail("the key 'fortran_order' is missing"),
            _ => self.fail("the key 'shape' is missing"),
        }
    }

    fn string(&mut self) -> Result<&'a [u8], Fault> {
        let quote = match self.peek() {
            Some(q @ (b'\'' | b'"')) => q,
            _ => return self.fail("a string is missing"),
        };
        let start = self.at + 1;
        let Some(len) = self.text[start..].iter().position(|&b| b == quote) else {
            return self.fail("a string has no end");
        };
        let text = &self.text[start..start + len];
        if text.contains(&b'\\') {
            return self.fail("a string has an escape");
        }
        self.at = start + len + 1;
        Ok(text)
    }

    fn bool(&mut self) -> Result<bool, Fault> {
        self.peek();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.fail("'True' or 'False' is missing")
    }

    /// `()`, `(3,)`, `(3, 4)`; Python 2 wrote `3L`.
    fn shape(&mut self) -> Result<Shape, Fault> {
        let mut extents = Vec::new();
        self.expect(b'(', "'(' is missing")?;
        let mut comma = true;
        while !self.take(b')') {
            if !comma {
                return self.fail("',' or ')' is missing");
            }
            if extents.len() == MAX_RANK {
                return self.fail("more axes than an array may have");
            }
            extents.push(self.number()?);
            comma = self.take(b',');
        }
        if extents.len() == 1 && !comma {
            return self.fail("the shape is a number, not a tuple");
        }
        Ok(Shape::new(&extents).map_err(Problem::from)?)
    }

    fn number(&mut self) -> Result<usize, Fault> {
        self.peek();
        let digits = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = &self.text[self.at..self.at + digits];
        let value = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
        let Some(value) = value else {
            return self.fail(if digits == 0 { "an extent is missing" } else { "an extent is too large" });
        };
        self.at += digits;
        if self.text.get(self.at) == Some(&b'L') {
            self.at += 1;
        }
        Ok(value)
    }

    /// The dtype, and whether its bytes are in the other order.
    fn descr(&mut self) -> Result<(DType, bool), Fault> {
        if self.peek() == Some(b'[') {
            // The value ends somewhere before the other keys; it is only shown.
            let rest = &self.text[self.at..];
            let end = rest.windows(2).position(|w| w == b")]").map_or(rest.len(), |i| i + 2);
            return Err(unreadable(&rest[..end.min(200)], "arrays of records are not supported").into());
        }
        let text = self.string()?;
        let (order, code) = match text {
            [o @ (b'<' | b'>' | b'=' | b'|'), code @ ..] => (*o, code),
            code => (b'=', code),
        };
        let dtype = match code {
            b"b1" | b"?" => DType::Bool,
            b"i1" => DType::I8,
            b"i2" => DType::I16,
            b"i4" => DType::I32,
            b"i8" => DType::I64,
            b"u1" => DType::U8,
            b"u2" => DType::U16,
            b"u4" => DType::U32,
            b"u8" => DType::U64,
            b"f2" => DType::F16,
            b"f4" => DType::F32,
            b"f8" => DType::F64,
            [kind, ..] => {
                let why = match kind {
                    b'O' => "arrays of Python objects are not supported, and unpickling would run code from the file",
                    b'c' => "complex numbers are not supported",
                    b'U' | b'S' | b'a' => "strings are not supported",
                    b'M' | b'm' => "dates and times are not supported",
                    b'V' => "raw bytes and records are not supported",
                    b'f' => "only floats of 2, 4 and 8 bytes are supported",
                    b'i' | b'u' => "only integers of 1, 2, 4 and 8 bytes are supported",
                    _ => "it is not known",
                };
                return Err(unreadable(text, why).into());
            }
            [] => return Err(unreadable(text, "it is not known").into()),
        };
        let swap = match order {
            b'<' => cfg!(target_endian = "big"),
            b'>' => cfg!(target_endian = "little"),
            b'|' if dtype.size() > 1 => return Err(unreadable(text, "its byte order is not given").into()),
            _ => false,
        };
        Ok((dtype, swap && dtype.size() > 1))
    }
}

fn unreadable(descr: &[u8], why: &'static str) -> Problem {
    Problem::Descr { descr: format!("'{}'", String::from_utf8_lossy(descr).escape_debug()), why }
}
