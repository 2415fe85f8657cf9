//! What code is made for: an instruction set, the width of its vectors, the extensions that may be used.
//!
//! Targets of the machine's own architecture nest: each allows what the one before it does, and more. Any of them can
//! be forced, so that every path can be tested on one machine; a target that asks for more than the CPU has is an
//! error when it is looked up, and never an illegal instruction later.
//!
//! | name | instruction set | vector bits |
//! |---|---|---|
//! | `interp` | none: kernels are interpreted | 128 |
//! | `native` | all that this CPU has | 128, 256 or 512 |
//! | `x86-64`, `-v2`, `-v3`, `-v4` | the levels of the x86-64 psABI | 128, 128, 256, 512 |
//! | `neon` | AArch64 with Advanced SIMD | 128 |

use crate::kernel::Kernel;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use std::fmt;
use std::sync::OnceLock;
use target_lexicon::{Architecture, Triple};

/// A target: what generated code may use.
///
/// ```
/// use lazuli_jit::Target;
/// let target = Target::detect();
/// assert_eq!(target.name(), "native");
/// assert_eq!(Target::by_name("interp").unwrap().features().len(), 0);
/// assert!(Target::by_name("z80").is_err());
/// ```
#[derive(Clone)]
pub struct Target {
    name: &'static str,
    vector_bits: u32,
    features: Vec<&'static str>,
    isa: Option<OwnedTargetIsa>,
    tuning: Tuning,
}

/// Whose CPUs machine code is tuned to. What it computes is the same.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tuning {
    /// Intel's: they divide vectors of 512 bits slowly, and fetch little of one stream at a time.
    Intel,
    /// AMD's Zen 4: a core waits for few lines in the first-level cache, and for many in the second; vectors of 512 bits go through
    /// units of 256, and are divided slowly if they are of `float64`.
    Zen4,
    /// Others.
    Other,
}

impl Tuning {
    /// How slow divisions of the vectors are, of 512 bits if `evex`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) fn divider(self, evex: bool) -> Divider {
        match self {
            Tuning::Intel if evex => Divider::Slowest,
            Tuning::Zen4 if evex => Divider::Slow,
            Tuning::Intel | Tuning::Zen4 | Tuning::Other => Divider::Fast,
        }
    }
}

/// How slow divisions are.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Divider {
    /// About as slow as what could stand for them.
    Fast,
    /// Of `float64`, slower than a multiplication with a reciprocal that is at hand, and its correction.
    Slow,
    /// Slower than multiplications that make the reciprocal, too.
    Slowest,
}

/// Why a target cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No target has this name.
    #[error("unknown target '{name}'; known are {known}", known = known_names())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The target exists, but code for it would not run here.
    #[error("target '{name}' is not available on this machine: {why}")]
    Unavailable {
        /// What was asked for.
        name: &'static str,
        /// What is missing.
        why: String,
    },
}

/// A known target, and whether code for it runs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetInfo {
    /// The name, as [`Target::by_name`] takes it.
    pub name: &'static str,
    /// Why it cannot be used here; `None` if it can.
    pub why_not: Option<String>,
}

impl TargetInfo {
    /// Whether code for this target runs on this machine.
    pub fn supported(&self) -> bool {
        self.why_not.is_none()
    }
}

/// One extension of an instruction set.
struct Feature {
    name: &'static str,
    /// Cranelift's setting for it; `None` if Cranelift takes it for granted or does not know it.
    setting: Option<&'static str>,
    /// Whether the CPU has it.
    detect: fn() -> bool,
}

/// A named target of one architecture.
struct Level {
    name: &'static str,
    architecture: Architecture,
    vector_bits: u32,
    /// What it asks for beyond the levels of its architecture that stand before it.
    adds: &'static [&'static str],
}

const LEVELS: &[Level] = &[
    Level { name: "x86-64", architecture: Architecture::X86_64, vector_bits: 128, adds: &["sse2"] },
    Level {
        name: "x86-64-v2",
        architecture: Architecture::X86_64,
        vector_bits: 128,
        adds: &["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"],
    },
    Level {
        name: "x86-64-v3",
        architecture: Architecture::X86_64,
        vector_bits: 256,
        adds: &["avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt"],
    },
    Level {
        name: "x86-64-v4",
        architecture: Architecture::X86_64,
        vector_bits: 512,
        adds: &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
    },
    Level {
        name: "neon",
        architecture: Architecture::Aarch64(target_lexicon::Aarch64Architecture::Aarch64),
        vector_bits: 128,
        adds: &["neon"],
    },
];

#[cfg(target_arch = "x86_64")]
macro_rules! feature {
    ($name:tt, $setting:expr) => {
        Feature { name: $name, setting: $setting, detect: || std::arch::is_x86_feature_detected!($name) }
    };
}

#[cfg(target_arch = "x86_64")]
const FEATURES: &[Feature] = &[
    feature!("sse2", None),
    feature!("sse3", Some("has_sse3")),
    feature!("ssse3", Some("has_ssse3")),
    feature!("sse4.1", Some("has_sse41")),
    feature!("sse4.2", Some("has_sse42")),
    feature!("popcnt", Some("has_popcnt")),
    feature!("avx", Some("has_avx")),
    feature!("avx2", Some("has_avx2")),
    feature!("fma", Some("has_fma")),
    feature!("f16c", None),
    feature!("bmi1", Some("has_bmi1")),
    feature!("bmi2", Some("has_bmi2")),
    feature!("lzcnt", Some("has_lzcnt")),
    feature!("avx512f", Some("has_avx512f")),
    feature!("avx512bw", None),
    feature!("avx512cd", None),
    feature!("avx512dq", Some("has_avx512dq")),
    feature!("avx512vl", Some("has_avx512vl")),
    feature!("avx512vbmi", Some("has_avx512vbmi")),
    feature!("avx512bitalg", Some("has_avx512bitalg")),
];

#[cfg(target_arch = "aarch64")]
macro_rules! feature {
    ($name:tt, $setting:expr) => {
        Feature { name: $name, setting: $setting, detect: || std::arch::is_aarch64_feature_detected!($name) }
    };
}

#[cfg(target_arch = "aarch64")]
const FEATURES: &[Feature] = &[
    feature!("neon", None),
    feature!("lse", Some("has_lse")),
    feature!("fp16", Some("has_fp16")),
    feature!("dotprod", Some("has_dotprod")),
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FEATURES: &[Feature] = &[];

impl Target {
    /// The target of this machine: all that its CPU has. Looked up once.
    ///
    /// Where Cranelift does not know the architecture, kernels are interpreted: [`Target::compiles`] is false.
    pub fn detect() -> &'static Target {
        static NATIVE: OnceLock<Target> = OnceLock::new();
        NATIVE.get_or_init(|| {
            let features: Vec<_> = FEATURES.iter().filter(|f| (f.detect)()).map(|f| f.name).collect();
            let has = |name: &str| features.contains(&name);
            let vector_bits = match () {
                () if has("avx512f") && has("avx512vl") && has("avx512dq") && has("avx512bw") => 512,
                () if has("avx2") && has("fma") => 256,
                () => 128,
            };
            let isa = build_isa(&features).ok();
            Target { name: "native", vector_bits, features, isa, tuning: tuning() }
        })
    }

    /// The target with this name: `interp`, `native`, or a level such as `x86-64-v3`.
    ///
    /// # Errors
    /// [`TargetError::Unknown`] if there is none, [`TargetError::Unavailable`] if this CPU cannot run its code.
    pub fn by_name(name: &str) -> Result<Target, TargetError> {
        match name {
            "interp" => {
                let (features, tuning) = (Vec::new(), Tuning::Other);
                return Ok(Target { name: "interp", vector_bits: 128, features, isa: None, tuning });
            }
            "native" => return Ok(Target::detect().clone()),
            _ => {}
        }
        let at = LEVELS.iter().position(|l| l.name == name);
        let at = at.ok_or_else(|| TargetError::Unknown { name: name.to_owned() })?;
        let level = &LEVELS[at];
        let unavailable = |why| TargetError::Unavailable { name: level.name, why };
        if let Some(why) = why_not(at) {
            return Err(unavailable(why));
        }
        let features: Vec<_> = level_features(at).collect();
        let isa = build_isa(&features).map_err(unavailable)?;
        let (vector_bits, isa) = (level.vector_bits, Some(isa));
        Ok(Target { name: level.name, vector_bits, features, isa, tuning: tuning() })
    }

    /// Every known target, and whether it can be used here.
    ///
    /// ```
    /// use lazuli_jit::Target;
    /// for info in Target::available() {
    ///     assert_eq!(Target::by_name(info.name).is_ok(), info.supported());
    /// }
    /// ```
    pub fn available() -> Vec<TargetInfo> {
        let always = ["interp", "native"].map(|name| TargetInfo { name, why_not: None });
        let levels = LEVELS.iter().enumerate().map(|(at, l)| TargetInfo { name: l.name, why_not: why_not(at) });
        always.into_iter().chain(levels).collect()
    }

    /// The name, as [`Target::by_name`] takes it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The width of the widest vectors that the target has, in bits. A backend may use narrower ones.
    pub fn vector_bits(&self) -> u32 {
        self.vector_bits
    }

    /// The extensions that code may use, such as `avx2`.
    pub fn features(&self) -> &[&'static str] {
        &self.features
    }

    /// Whether code may use this extension.
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }

    /// Whether a product and a sum that are rounded once are one instruction of the target's code. Elsewhere they take a call.
    pub fn fuses(&self) -> bool {
        let x86 = |isa: &OwnedTargetIsa| isa.name() == "x64";
        self.isa().is_some_and(|isa| !x86(isa) || (self.has("fma") && self.has("avx")))
    }

    /// Whether machine code can be made for the target. It cannot for `interp`.
    pub fn compiles(&self) -> bool {
        self.isa.is_some()
    }

    /// Whether code is tuned to Zen 4, and has vectors of 512 bits.
    pub(crate) fn is_zen4(&self) -> bool {
        (self.tuning, self.vector_bits) == (Tuning::Zen4, 512)
    }

    /// Whether vectors of 256 bits are the faster for a kernel whose vectors of 512 bits lie across lines.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_narrower_faster(&self, kernel: &Kernel) -> bool {
        self.is_zen4() && crate::wide::is_narrow(kernel)
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn is_narrower_faster(&self, _: &Kernel) -> bool {
        false
    }

    /// The name of this machine's CPU, as it calls itself.
    pub fn cpu_name() -> &'static str {
        static NAME: OnceLock<String> = OnceLock::new();
        NAME.get_or_init(|| brand().unwrap_or_else(|| std::env::consts::ARCH.to_owned()))
    }

    /// Whose CPUs code is tuned to.
    pub(crate) fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// The same target, with code tuned to other CPUs.
    #[cfg(test)]
    pub(crate) fn tuned_to(mut self, tuning: Tuning) -> Target {
        self.tuning = tuning;
        self
    }

    pub(crate) fn isa(&self) -> Option<&OwnedTargetIsa> {
        self.isa.as_ref()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.features.join(" "))
    }
}

fn known_names() -> String {
    let levels = LEVELS.iter().map(|l| l.name);
    ["interp", "native"].into_iter().chain(levels).collect::<Vec<_>>().join(", ")
}

/// All that the level at `at` asks for.
fn level_features(at: usize) -> impl Iterator<Item = &'static str> {
    let architecture = LEVELS[at].architecture;
    LEVELS[..=at].iter().filter(move |l| l.architecture == architecture).flat_map(|l| l.adds.iter().copied())
}

/// Why the level at `at` cannot be used on this machine.
fn why_not(at: usize) -> Option<String> {
    let level = &LEVELS[at];
    let host = Triple::host().architecture;
    if level.architecture != host {
        return Some(format!("it is of {}, this machine of {host}", level.architecture));
    }
    let has = |name: &str| FEATURES.iter().any(|f| f.name == name && (f.detect)());
    let missing: Vec<_> = level_features(at).filter(|name| !has(name)).collect();
    (!missing.is_empty()).then(|| format!("the CPU has no {}", missing.join(", ")))
}

/// Cranelift's description of this machine's architecture with only these features.
fn build_isa(features: &[&str]) -> Result<OwnedTargetIsa, String> {
    let mut shared = settings::builder();
    let mut set = |name, value: &str| shared.set(name, value).map_err(|e| e.to_string());
    // The builder of kernels shares subexpressions and the emitter hoists what does not change: Cranelift's own
    // optimizer would find little and costs as much as the rest of the compilation.
    set("opt_level", "none")?;
    set("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" })?;
    // Kernels neither unwind nor call anything that does.
    set("unwind_info", "false")?;
    set("enable_probestack", "false")?;
    set("is_pic", "false")?;
    set("use_colocated_libcalls", "false")?;
    let mut builder = if FEATURES.is_empty() {
        cranelift_native::builder().map_err(str::to_owned)?
    } else {
        isa::lookup(Triple::host()).map_err(|e| e.to_string())?
    };
    for setting in FEATURES.iter().filter(|f| features.contains(&f.name)).filter_map(|f| f.setting) {
        builder.enable(setting).map_err(|e| e.to_string())?;
    }
    builder.finish(settings::Flags::new(shared)).map_err(|e| e.to_string())
}

/// The family of a CPU of AMD's, as `cpuid` tells it in two parts.
#[cfg(target_arch = "x86_64")]
fn amd_family(signature: u32) -> u32 {
    (signature >> 8 & 0xf) + (signature >> 20 & 0xff)
}

/// What is best for this CPU.
#[cfg(target_arch = "x86_64")]
fn tuning() -> Tuning {
    use std::arch::x86_64::__cpuid;
    let vendor = __cpuid(0);
    match [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() {
        b"GenuineIntel" => Tuning::Intel,
        // Zen 3 is of the same family, without these vectors.
        b"AuthenticAMD" if amd_family(__cpuid(1).eax) == 25 && is_x86_feature_detected!("avx512f") => Tuning::Zen4,
        _ => Tuning::Other,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn tuning() -> Tuning {
    Tuning::Other
}

/// The brand string of the CPU.
#[cfg(target_arch = "x86_64")]
fn brand() -> Option<String> {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return None;
    }
    let bytes: Vec<u8> = (0x8000_0002u32..=0x8000_0004)
        .flat_map(|leaf| {
            let r = __cpuid(leaf);
            [r.eax, r.ebx, r.ecx, r.edx]
        })
        .flat_map(u32::to_le_bytes)
        .take_while(|&b| b != 0)
        .collect();
    let name = String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

#[cfg(not(target_arch = "x86_64"))]
fn brand() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_list_the_known() {
        let message = Target::by_name("x86-64-v9").unwrap_err().to_string();
        assert!(message.starts_with("unknown target 'x86-64-v9'; known are interp, native, x86-64,"), "{message}");
    }

    #[test]
    fn foreign_architectures_are_errors() {
        let foreign = if cfg!(target_arch = "aarch64") { "x86-64-v3" } else { "neon" };
        let message = Target::by_name(foreign).unwrap_err().to_string();
        assert!(message.contains("not available on this machine"), "{message}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn levels_nest() {
        let base = Target::by_name("x86-64").unwrap();
        assert_eq!(base.features(), ["sse2"]);
        if let Ok(v3) = Target::by_name("x86-64-v3") {
            assert!(v3.has("sse2") && v3.has("sse4.1") && v3.has("fma") && !v3.has("avx512f"));
            assert_eq!(v3.vector_bits(), 256);
        }
    }

    #[test]
    fn the_machine_has_a_name() {
        assert!(!Target::cpu_name().is_empty());
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn families_of_amd() {
        // Zen 2, Zen 3, Zen 4, Zen 5.
        let families = [0x0087_0f10, 0x00a2_0f10, 0x00a1_0f11, 0x00b0_0f21].map(amd_family);
        assert_eq!(families, [23, 25, 25, 26]);
    }
}
