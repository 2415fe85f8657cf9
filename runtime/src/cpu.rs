//! What the machine has: cores, caches, memory.
//!
//! Linux tells it in `/sys` and `/proc`; elsewhere, and where it does not say, [`Caches::DEFAULT`] stands in.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Sizes of the data caches, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// The first level's, of one core.
    pub l1: usize,
    /// The second level's, of one core (or the few that share it).
    pub l2: usize,
    /// The last level's, of all cores that share it.
    pub l3: usize,
}

impl Caches {
    /// What is assumed of a machine that does not tell.
    pub const DEFAULT: Caches = Caches { l1: 32 << 10, l2: 512 << 10, l3: 8 << 20 };
}

/// The caches of the first core. Read once.
///
/// ```
/// let caches = lazuli_runtime::cpu::caches();
/// assert!(caches.l1 > 0 && caches.l1 <= caches.l2);
/// ```
pub fn caches() -> Caches {
    static CACHES: LazyLock<Caches> = LazyLock::new(|| read_caches(Path::new("/sys/devices/system/cpu/cpu0/cache")));
    *CACHES
}

fn read_caches(dir: &Path) -> Caches {
    let mut found = [0usize; 4];
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        if read("type").trim() == "Instruction" {
            continue;
        }
        let level = read("level").trim().parse::<usize>().ok().filter(|l| (1..=3).contains(l));
        if let (Some(level), Some(size)) = (level, parse_size(&read("size"))) {
            found[level] = found[level].max(size);
        }
    }
    let or = |found: usize, default: usize| if found > 0 { found } else { default };
    let l1 = or(found[1], Caches::DEFAULT.l1);
    let l2 = or(found[2], Caches::DEFAULT.l2).max(l1);
    // Without a third level the second is the last.
    let l3 = if found[2] > 0 && found[3] == 0 { l2 } else { or(found[3], Caches::DEFAULT.l3).max(l2) };
    Caches { l1, l2, l3 }
}

/// `48K`, `2M`, `1024`.
fn parse_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit).filter(|&n| n > 0)
}

/// The most of the last cache, in bytes, that one core may count on: few CPUs have as much for each of theirs.
const LAST_OF_CORE: usize = 16 << 20;

/// Bytes that the last cache keeps for the cores that there are. Those of a virtual machine are often few of the CPU's: its
/// last cache serves the others, too.
///
/// ```
/// use lazuli_runtime::cpu;
/// assert!(cpu::last_cache() <= cpu::caches().l3);
/// ```
pub fn last_cache() -> usize {
    share_of_last(caches(), cores())
}

fn share_of_last(caches: Caches, cores: usize) -> usize {
    caches.l3.min(cores.saturating_mul(LAST_OF_CORE)).max(caches.l2)
}

/// How many threads can run at once. At least 1; read once.
pub fn cores() -> usize {
    static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *CORES
}

/// Bytes of main memory, where the system tells.
pub fn total_memory() -> Option<usize> {
    static TOTAL: LazyLock<Option<usize>> = LazyLock::new(|| memory_line("MemTotal:"));
    *TOTAL
}

/// Bytes of main memory that could be had now without swapping, where the system tells.
pub fn available_memory() -> Option<usize> {
    memory_line("MemAvailable:")
}

fn memory_line(key: &str) -> Option<usize> {
    if cfg!(miri) || !cfg!(target_os = "linux") {
        return None;
    }
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("48K\n"), Some(48 << 10));
        assert_eq!(parse_size("2M"), Some(2 << 20));
        assert_eq!(parse_size("1024"), Some(1024));
        for bad in ["", "K", "0K", "5T", "x", "99999999999999999999K"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn few_cores_have_their_share_of_the_last_cache() {
        let mib = |l2: usize, l3: usize| Caches { l1: 32 << 10, l2: l2 << 20, l3: l3 << 20 };
        assert_eq!(share_of_last(mib(1, 32), 2), 32 << 20);
        assert_eq!(share_of_last(mib(2, 260), 2), 32 << 20);
        assert_eq!(share_of_last(mib(2, 260), 60), 260 << 20);
        assert_eq!(share_of_last(mib(24, 32), 1), 24 << 20);
    }

    #[cfg(not(miri))]
    #[test]
    fn caches_are_read_by_level() {
        let dir = tempfile::tempdir().unwrap();
        let put = |index: &str, level: &str, kind: &str, size: &str| {
            let at = dir.path().join(index);
            fs::create_dir(&at).unwrap();
            fs::write(at.join("level"), level).unwrap();
            fs::write(at.join("type"), kind).unwrap();
            fs::write(at.join("size"), size).unwrap();
        };
        assert_eq!(read_caches(dir.path()), Caches::DEFAULT);
        put("index0", "1\n", "Data\n", "48K\n");
        put("index1", "1\n", "Instruction\n", "64K\n");
        put("index2", "2\n", "Unified\n", "1M\n");
        assert_eq!(read_caches(dir.path()), Caches { l1: 48 << 10, l2: 1 << 20, l3: 1 << 20 });
        put("index3", "3\n", "Unified\n", "32M\n");
        assert_eq!(read_caches(dir.path()).l3, 32 << 20);
    }

    #[cfg(all(not(miri), target_os = "linux"))]
    #[test]
    fn memory_is_known() {
        let total = total_memory().unwrap();
        assert!(total > 16 << 20);
        assert!(available_memory().unwrap() <= total);
    }
}
