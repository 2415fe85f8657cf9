//! The hypotenuse in `f64`, correctly rounded, by an exact integer square root.

/// `sqrt(x * x + y * y)` rounded once to nearest even; infinite where either is, even beside NaN.
pub(crate) fn hypot(x: f64, y: f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    if a.is_infinite() || b.is_infinite() {
        return f64::INFINITY;
    } else if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    let (a, b) = if a < b { (b, a) } else { (a, b) };
    let ((ma, ea), (mb, eb)) = (parts(a), parts(b));
    // Beyond this, b adds less than half a unit in a's last place.
    if b == 0.0 || ea - eb > 27 {
        return a;
    }
    // Both as whole numbers of a quarter of b's last place: at most 82 bits, so their squares do not fit 128. But all
    // that is needed of squares is small differences, and those wrapping arithmetic gets right.
    let (a, b, unit) = ((ma as u128) << (ea - eb + 2), (mb as u128) << 2, eb - 2);
    let sum = a.wrapping_mul(a).wrapping_add(b.wrapping_mul(b));
    let rest = |root: u128| sum.wrapping_sub(root.wrapping_mul(root)) as i128;
    // 52 bits are right; a step of Newton's method doubles that.
    let guess = (a as f64 * a as f64 + b as f64 * b as f64).sqrt() as u128;
    let mut root = guess.wrapping_add_signed(rest(guess).div_euclid(2 * guess as i128));
    while rest(root) < 0 {
        root -= 1;
    }
    while rest(root) > 2 * root as i128 {
        root += 1;
    }
    let inexact = (rest(root) != 0) as u128;
    if root >> 54 == 0 {
        // So few bits only come from subnormal numbers, whose last place is `unit * 4`, and the bit pattern the number.
        let (n, low) = (root as u64 >> 2, (root as u64 & 3) << 1 | inexact as u64);
        return f64::from_bits(n + (low > 4 || low == 4 && n & 1 == 1) as u64);
    }
    // The conversion rounds; the last bit stands for all that follow.
    let rounded = (root << 1 | inexact) as f64;
    let half = (unit - 1) / 2;
    rounded * power_of_two(half) * power_of_two(unit - 1 - half)
}

/// A number above zero as `(m, e)`: `m * 2^e`, `m` below 2^53.
fn parts(x: f64) -> (u64, i32) {
    let exponent = (x.to_bits() >> 52) as i32;
    let fraction = x.to_bits() & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// 2^e, for normal results.
fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        let tiny = 5e-324;
        for (x, y, z) in [
            (3.0, 4.0, 5.0),
            (-3.0, 4.0, 5.0),
            (0.0, -0.0, 0.0),
            (0.0, -7.5, 7.5),
            (3.0 * 2f64.powi(600), -4.0 * 2f64.powi(600), 5.0 * 2f64.powi(600)),
            (3.0 * tiny, 4.0 * tiny, 5.0 * tiny),
            (tiny, tiny, tiny),
            (2.0 * tiny, 2.0 * tiny, 3.0 * tiny),
            (f64::MAX, f64::MAX, f64::INFINITY),
            (f64::MAX, 1.0, f64::MAX),
            (f64::MIN_POSITIVE, tiny, f64::MIN_POSITIVE),
            // y * y / 2 is a hair more or less than half of the last place; the next term is negative.
            (1.0, 2f64.powi(-26), 1.0),
            (1.0, 2f64.powi(-26).next_up(), 1.0 + f64::EPSILON),
            (f64::INFINITY, f64::NAN, f64::INFINITY),
            (f64::NAN, f64::NEG_INFINITY, f64::INFINITY),
        ] {
            assert_eq!(hypot(x, y), z, "{x:e} {y:e}");
            assert_eq!(hypot(y, x), z, "{y:e} {x:e}");
        }
        assert!(hypot(f64::NAN, 1.0).is_nan() && hypot(0.0, f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn nearest(a in 1u64..1 << 62, b in 1u64..1 << 62, scale in -1000i32..900) {
            // Numbers of 53 bits whose middles are whole, at a scale where nothing is lost.
            let (a, b) = ((a as f64).max(2f64.powi(55)), b as f64);
            let z = hypot(a * 2f64.powi(scale), b * 2f64.powi(scale)) / 2f64.powi(scale);
            // 4 (a^2 + b^2) lies between the squares of the two middles beside the result.
            let square = |x: u128| -> (u128, u128) {
                let (h, l) = (x >> 64, x & u64::MAX as u128);
                let middle = 2 * h * l;
                let (low, carry) = (l * l).overflowing_add(middle << 64);
                (h * h + (middle >> 64) + carry as u128, low)
            };
            let (a2, b2) = (square(2 * a as u128), square(2 * b as u128));
            let (low, carry) = a2.1.overflowing_add(b2.1);
            let sum = (a2.0 + b2.0 + carry as u128, low);
            let double_middle = |x: f64, y: f64| x as u128 + y as u128;
            prop_assert!(square(double_middle(z, z.next_up())) >= sum, "{a} {b} {z}");
            prop_assert!(square(double_middle(z, z.next_down())) <= sum, "{a} {b} {z}");
        }
    }
}
