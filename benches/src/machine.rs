//! Where a run happens: the date, the machine, the commit.

use crate::record::Machine;
use lazuli_engine::Target;
use std::process::Command;
use std::time::SystemTime;

/// This machine, now.
pub(crate) fn here(threads: usize) -> Machine {
    let (commit, dirty) = commit();
    let os = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let date = date(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()));
    Machine { date, cpu: Target::cpu_name().to_owned(), os, threads, commit, dirty, ..Machine::default() }
}

/// The day of a time in seconds since 1970, by Howard Hinnant's algorithm `civil_from_days`.
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The commit that is checked out, and whether files differ from it.
fn commit() -> (String, bool) {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let id = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    // What a run itself writes does not change what it measured.
    let changes = git(&["status", "--porcelain", "--", ".", ":!benches/results", ":!docs/benchmarks.md"]);
    (id, changes.is_none_or(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_767_225_599), "2025-12-31");
        assert_eq!(date(1_767_225_600), "2026-01-01");
    }
}
