//! What `lazuli info` says of the machine.

use lazuli::runtime::cpu;
use lazuli::{Backend, Config, Target, human};
use std::fmt::Write;

/// The report; `config` is what the environment asks for.
pub fn info(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    let native = Target::detect();
    line("lazuli", env!("CARGO_PKG_VERSION"));
    line("cpu", Target::cpu_name());
    line("features", &native.features().join(" "));
    let caches = cpu::caches();
    let sizes = [caches.l1, caches.l2, caches.l3].map(|n| human(n as u64));
    line("caches", &format!("L1 {}, L2 {}, L3 {}", sizes[0], sizes[1], sizes[2]));
    let memory = |n: Option<usize>| n.map_or_else(|| "unknown".to_owned(), |n| human(n as u64));
    line("memory", &format!("{}, {} available", memory(cpu::total_memory()), memory(cpu::available_memory())));
    let threads = match config.threads {
        0 => format!("{}, one for each core", cpu::cores()),
        n => format!("{n} of {} cores", cpu::cores()),
    };
    line("threads", &threads);
    line("precision", &config.precision.to_string());
    line("backend", &config.backend.to_string());
    let (name, bits) = (config.target.name(), config.target.vector_bits());
    let used = match Backend::Wide.why_not(config.target) {
        None => format!("{name}; vectors of {bits} bits"),
        Some(why) => format!("{name}; vectors of 128 bits ({why})"),
    };
    line("target", &used);
    line("targets", "");
    for target in Target::available() {
        match &target.why_not {
            None => line("", target.name),
            Some(why) => line("", &format!("{} (not here: {why})", target.name)),
        }
    }
    text
}
