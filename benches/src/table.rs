//! The table on the terminal.

use crate::contest::OURS;
use crate::record::Cell;

/// Nanoseconds with the unit that keeps them short.
pub(crate) fn short(ns: f64) -> String {
    match ns {
        _ if ns < 999.5 => format!("{ns:.0} ns"),
        _ if ns < 9_995.0 => format!("{:.2} µs", ns / 1e3),
        _ if ns < 999_500.0 => format!("{:.1} µs", ns / 1e3),
        _ if ns < 9_995_000.0 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.1} ms", ns / 1e6),
    }
}

/// The first line.
pub(crate) fn header(contestants: &[String]) -> String {
    let ours = OURS.iter().map(|o| o.name());
    let names = ours.chain(contestants.iter().map(String::as_str));
    let columns: String = names.map(|c| format!(" {c:>11}")).collect();
    format!("{:26}{columns}   ratio (best peer / compute, call; of best samples)", "workload/dtype/n")
}

/// One line.
pub(crate) fn line(cell: &Cell, contestants: &[String]) -> String {
    let time = |name: &str| cell.times.get(name).map(|t| t.min);
    let ours = OURS.iter().map(|o| o.name());
    let names = ours.chain(contestants.iter().map(String::as_str));
    let columns: String = names.map(|c| format!(" {:>11}", time(c).map_or("-".to_owned(), short))).collect();
    let best = contestants.iter().filter_map(|c| time(c)).fold(f64::INFINITY, f64::min);
    let ratio = |ours: &str| time(ours).map_or(f64::NAN, |t| best / t);
    let label = format!("{}/{}/{}", cell.workload, cell.dtype, cell.n);
    match best.is_finite() {
        true => format!("{label:26}{columns}   {:.2} {:.2}", ratio("compute"), ratio("call")),
        false => format!("{label:26}{columns}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let shown = [1.4, 999.7, 1234.0, 99_999.0, 1e6, 2.5e7].map(short);
        assert_eq!(shown, ["1 ns", "1.00 µs", "1.23 µs", "100.0 µs", "1.00 ms", "25.0 ms"]);
    }
}
