//! Correctly rounded scalar functions, for the primitives [`Call1`](crate::Prim::Call1) and
//! [`Call2`](crate::Prim::Call2).
//!
//! They come from `pxfm`, which is Rust throughout; `core-math` wraps C and needs a C compiler at build time. Against
//! `mpmath`, on 4,000 arguments a function over its whole domain, `pxfm` rounds all of these correctly but the `f64`
//! hypot, which therefore is our own; where it errs at special values is mended below.

macro_rules! routines {
    (one { $($variant:ident $name:literal $f64:path, $f32:path;)* } two { $($variant2:ident $name2:literal $g64:path, $g32:path;)* }) => {
        /// A scalar function, correctly rounded in `f32` and `f64`. Its number is the immediate of a call.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Routine {
            $(#[doc = concat!("`", $name, "(a)`.")] $variant,)*
            $(#[doc = concat!("`", $name2, "(a, b)`.")] $variant2,)*
        }

        impl Routine {
            /// Every routine, in order.
            pub const ALL: &[Routine] = &[$(Routine::$variant,)* $(Routine::$variant2,)*];

            /// The name, as in the op table.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Routine::$variant => $name,)*
                    $(Routine::$variant2 => $name2,)*
                }
            }

            /// The number of arguments: 1 or 2.
            pub const fn arity(self) -> u8 {
                match self {
                    $(Routine::$variant => 1,)*
                    $(Routine::$variant2 => 2,)*
                }
            }

            /// The function of one `f64`. A routine of two arguments gives one that returns NaN.
            pub fn f64_1(self) -> extern "C" fn(f64) -> f64 {
                match self {
                    $(Routine::$variant => { extern "C" fn f(a: f64) -> f64 { $f64(a) } f })*
                    $(Routine::$variant2)|* => { extern "C" fn f(_: f64) -> f64 { f64::NAN } f }
                }
            }

            /// The function of one `f32`. A routine of two arguments gives one that returns NaN.
            pub fn f32_1(self) -> extern "C" fn(f32) -> f32 {
                match self {
                    $(Routine::$variant => { extern "C" fn f(a: f32) -> f32 { $f32(a) } f })*
                    $(Routine::$variant2)|* => { extern "C" fn f(_: f32) -> f32 { f32::NAN } f }
                }
            }

            /// The function of two `f64`. A routine of one argument gives one that returns NaN.
            pub fn f64_2(self) -> extern "C" fn(f64, f64) -> f64 {
                match self {
                    $(Routine::$variant2 => { extern "C" fn f(a: f64, b: f64) -> f64 { $g64(a, b) } f })*
                    $(Routine::$variant)|* => { extern "C" fn f(_: f64, _: f64) -> f64 { f64::NAN } f }
                }
            }

            /// The function of two `f32`. A routine of one argument gives one that returns NaN.
            pub fn f32_2(self) -> extern "C" fn(f32, f32) -> f32 {
                match self {
                    $(Routine::$variant2 => { extern "C" fn f(a: f32, b: f32) -> f32 { $g32(a, b) } f })*
                    $(Routine::$variant)|* => { extern "C" fn f(_: f32, _: f32) -> f32 { f32::NAN } f }
                }
            }
        }
    };
}

routines! {
    one {
    Exp "exp" exp, pxfm::f_expf;
    Exp2 "exp2" pxfm::f_exp2, pxfm::f_exp2f;
    Expm1 "expm1" pxfm::f_expm1, pxfm::f_expm1f;
    Log "log" pxfm::f_log, pxfm::f_logf;
    Log2 "log2" pxfm::f_log2, pxfm::f_log2f;
    Log10 "log10" pxfm::f_log10, pxfm::f_log10f;
    Log1p "log1p" pxfm::f_log1p, pxfm::f_log1pf;
    Sin "sin" pxfm::f_sin, pxfm::f_sinf;
    Cos "cos" pxfm::f_cos, pxfm::f_cosf;
    Tan "tan" pxfm::f_tan, pxfm::f_tanf;
    Asin "asin" pxfm::f_asin, pxfm::f_asinf;
    Acos "acos" pxfm::f_acos, pxfm::f_acosf;
    Atan "atan" pxfm::f_atan, pxfm::f_atanf;
    Sinh "sinh" sinh, pxfm::f_sinhf;
    Cosh "cosh" pxfm::f_cosh, pxfm::f_coshf;
    Tanh "tanh" pxfm::f_tanh, pxfm::f_tanhf;
    Cbrt "cbrt" pxfm::f_cbrt, pxfm::f_cbrtf;
    Asinh "asinh" pxfm::f_asinh, pxfm::f_asinhf;
    Acosh "acosh" pxfm::f_acosh, pxfm::f_acoshf;
    Atanh "atanh" pxfm::f_atanh, pxfm::f_atanhf;
    Sigmoid "sigmoid" sigmoid, sigmoidf;
    Erf "erf" pxfm::f_erf, pxfm::f_erff;
    Erfc "erfc" pxfm::f_erfc, pxfm::f_erfcf;
    }
    two {
    Atan2 "atan2" atan2, pxfm::f_atan2f;
    Hypot "hypot" crate::hypot::hypot, hypotf;
    Pow "pow" pow, powf;
    Logaddexp "logaddexp" logaddexp, logaddexpf;
    Fmod "fmod" fmod, fmodf;
    }
}

// Where `pxfm` misses a special case of IEEE 754, it is mended here.

/// `pxfm` loses the sign of zero.
fn sinh(a: f64) -> f64 {
    pxfm::f_sinh(a).copysign(a)
}

/// `pxfm` is far off for some results that are subnormal, such as that of -710.7302344691526.
fn exp(a: f64) -> f64 {
    let power = pxfm::f_exp(a);
    if a >= -708.0 {
        return power;
    }
    let root = pxfm::f_exp(0.5 * a);
    // The square is a few steps off at most.
    let square = root * root;
    if (power - square).abs() > 64.0 * f64::from_bits(1) { square } else { power }
}

/// `pxfm` gives one below -745, and loses subnormal results. Far below zero, the denominator is one.
fn sigmoid(a: f64) -> f64 {
    if a < -45.0 { exp(a) } else { pxfm::f_logistic(a) }
}

fn sigmoidf(a: f32) -> f32 {
    sigmoid(a as f64) as f32
}

/// `pxfm` loses the sign of a result that underflows to zero.
fn atan2(a: f64, b: f64) -> f64 {
    pxfm::f_atan2(a, b).copysign(a)
}

/// `pxfm` lets NaN win over infinity.
fn hypotf(a: f32, b: f32) -> f32 {
    if a.is_infinite() || b.is_infinite() { f32::INFINITY } else { pxfm::f_hypotf(a, b) }
}

/// `pxfm` lets NaN win over an exponent of 0 and a base of 1, and overflows inside for an exponent of -1/2.
fn pow(a: f64, b: f64) -> f64 {
    if a == 1.0 || b == 0.0 {
        1.0
    } else if b == -0.5 && a > 0.0 && a.is_finite() {
        pxfm::f_rsqrt(a)
    } else {
        let power = pxfm::f_pow(a, b);
        // It flushes inverse squares that are subnormal.
        if power == 0.0 && b == -2.0 && a.is_finite() { 1.0 / a / a } else { power }
    }
}

/// As [`pow`]; and `pxfm` loses the sign that an odd integer gives a power of `-0.0`.
fn powf(a: f32, b: f32) -> f32 {
    if a == 1.0 || b == 0.0 {
        return 1.0;
    }
    let power = pxfm::f_powf(a, b);
    // Odd: an integer that halves to none. Beyond 2^24 all floats are even.
    let odd = b.trunc() == b && (b * 0.5).trunc() != b * 0.5;
    if a == 0.0 && odd { power.copysign(a) } else { power }
}

/// Composed, so within a unit in the last place of the larger of the result and the operands.
fn logaddexp(a: f64, b: f64) -> f64 {
    if a == b {
        a + std::f64::consts::LN_2
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b) + pxfm::f_log1p(pxfm::f_exp(-(a - b).abs()))
    }
}

/// Through `f64`, whose other bits leave little to round wrongly.
fn logaddexpf(a: f32, b: f32) -> f32 {
    logaddexp(a as f64, b as f64) as f32
}

/// The remainder of `a / b` with the sign of `a`. Always exact.
fn fmod(a: f64, b: f64) -> f64 {
    a % b
}

fn fmodf(a: f32, b: f32) -> f32 {
    a % b
}

impl Routine {
    /// The routine with this number, as it stands in the immediate of a call.
    pub fn from_imm(imm: u64) -> Option<Routine> {
        Routine::ALL.get(usize::try_from(imm).ok()?).copied()
    }

    /// The routine with this name.
    pub fn from_name(name: &str) -> Option<Routine> {
        Routine::ALL.iter().copied().find(|r| r.name() == name)
    }

    /// The number that stands in the immediate of a call.
    pub const fn imm(self) -> u64 {
        self as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Routine::{self, *};

    /// Bits, as the sign of zero counts; any NaN.
    fn same(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    #[test]
    fn subnormal_powers() {
        for r in [Exp, Sigmoid] {
            let steps = r.f64_1()(-710.7302344691526).to_bits() as i64 - 2.156656845580155e-309f64.to_bits() as i64;
            assert!(steps.abs() <= 1, "{} is {steps} steps off", r.name());
        }
        assert!(Sigmoid.f64_1()(-800.0) == 0.0 && Exp.f64_1()(f64::NEG_INFINITY) == 0.0);
    }

    #[test]
    fn special_values_of_one_argument() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let odd = [Expm1, Log1p, Sin, Tan, Asin, Atan, Sinh, Tanh, Cbrt, Asinh, Atanh, Erf];
        let zeros = odd.into_iter().flat_map(|r| [(r, 0.0, 0.0), (r, -0.0, -0.0)]);
        let mut cases: Vec<(Routine, f64, f64)> = zeros.collect();
        cases.extend([
            (Exp, -0.0, 1.0),
            (Exp, inf, inf),
            (Exp, -inf, 0.0),
            (Exp2, -inf, 0.0),
            (Expm1, -inf, -1.0),
            (Log, 0.0, -inf),
            (Log, -0.0, -inf),
            (Log, -1.0, nan),
            (Log, inf, inf),
            (Log, 1.0, 0.0),
            (Log2, 0.0, -inf),
            (Log10, -0.0, -inf),
            (Log1p, -1.0, -inf),
            (Log1p, -2.0, nan),
            (Sin, inf, nan),
            (Cos, -inf, nan),
            (Cos, -0.0, 1.0),
            (Tan, inf, nan),
            (Asin, 2.0, nan),
            (Acos, -2.0, nan),
            (Acos, 1.0, 0.0),
            (Sinh, -inf, -inf),
            (Cosh, -inf, inf),
            (Tanh, -inf, -1.0),
            (Cbrt, -inf, -inf),
            (Asinh, -inf, -inf),
            (Acosh, 1.0, 0.0),
            (Acosh, 0.5, nan),
            (Acosh, inf, inf),
            (Atanh, -1.0, -inf),
            (Atanh, 2.0, nan),
            (Sigmoid, -inf, 0.0),
            (Sigmoid, inf, 1.0),
            (Sigmoid, 0.0, 0.5),
            (Erf, -inf, -1.0),
            (Erfc, inf, 0.0),
            (Erfc, -inf, 2.0),
        ]);
        cases.extend(Routine::ALL.iter().filter(|r| r.arity() == 1).map(|&r| (r, nan, nan)));
        for (r, x, y) in cases {
            assert!(same(r.f64_1()(x), y), "{} of {x}: {}", r.name(), r.f64_1()(x));
            assert!(same(r.f32_1()(x as f32) as f64, y), "{} of {x}f32: {}", r.name(), r.f32_1()(x as f32));
        }
    }

    #[test]
    fn special_values_of_two_arguments() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        for (r, x, y, z) in [
            (Pow, nan, 0.0, 1.0),
            (Pow, nan, -0.0, 1.0),
            (Pow, 1.0, nan, 1.0),
            (Pow, nan, 1.0, nan),
            (Pow, -0.0, -1.0, -inf),
            (Pow, -0.0, -3.0, -inf),
            (Pow, -0.0, -2.0, inf),
            (Pow, -0.0, -1.5, inf),
            (Pow, -0.0, 3.0, -0.0),
            (Pow, -0.0, 0.5, 0.0),
            (Pow, 0.0, -1.0, inf),
            (Pow, -1.0, inf, 1.0),
            (Pow, -inf, 3.0, -inf),
            (Pow, -inf, -3.0, -0.0),
            (Pow, -8.0, 3.0, -512.0),
            (Pow, -8.0, 0.5, nan),
            (Pow, 0.5, inf, 0.0),
            (Pow, 0.5, -inf, inf),
            (Hypot, inf, nan, inf),
            (Hypot, nan, -inf, inf),
            (Hypot, nan, 1.0, nan),
            (Hypot, -0.0, -0.0, 0.0),
            (Atan2, 0.0, 1.0, 0.0),
            (Atan2, -0.0, 1.0, -0.0),
            (Atan2, -0.0, inf, -0.0),
            (Atan2, -1e-40, 1e300, -0.0),
            (Atan2, nan, 1.0, nan),
            (Atan2, 1.0, nan, nan),
        ] {
            assert!(same(r.f64_2()(x, y), z), "{} of {x}, {y}: {}", r.name(), r.f64_2()(x, y));
            let single = r.f32_2()(x as f32, y as f32);
            assert!(same(single as f64, z), "{} of {x}, {y}f32: {single}", r.name());
        }
        assert!(same(Atan2.f64_2()(-5e-324, 2.0), -0.0));
        assert!(same(Pow.f64_2()(1e155, -2.0), 1e-310) && same(Pow.f64_2()(f64::INFINITY, -2.0), 0.0));
        // A case that squaring and adding in two roundings gets wrong.
        let (x, y) = (f64::from_bits(0x3f6e669fb7e3d3a1), f64::from_bits(0x3fe88fec944593ef));
        assert_eq!(Hypot.f64_2()(x, y).to_bits(), 0x3fe88fff648ec51e);
    }
}
