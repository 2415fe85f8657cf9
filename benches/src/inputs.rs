//! Inputs that need no NumPy, for measurements without peers.

use crate::workload::{Input, Workload};
use lazuli_runtime::Tensor;

/// A small generator of even quality (Steele, Lea, Flood 2014: SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[low, high)`.
    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 * (0.5f64).powi(53)
    }
}

/// The inputs of a workload, in the order of their names.
pub(crate) fn make(workload: &Workload, dtype: &str, n: usize) -> Result<(Vec<String>, Vec<Tensor>), String> {
    let mut random = Random(1);
    let mut made = (Vec::new(), Vec::new());
    for (name, input) in &workload.inputs {
        made.0.push(name.clone());
        made.1.push(array(input, dtype, n, &mut random)?);
    }
    Ok(made)
}

fn array(input: &Input, dtype: &str, n: usize, random: &mut Random) -> Result<Tensor, String> {
    let shape = input.shape(n)?;
    let count: usize = shape.iter().product();
    let mut values = (0..count).map(|_| random.uniform(input.low, input.high));
    let made = match dtype {
        "float64" => Tensor::from_vec(&shape, values.collect::<Vec<f64>>()),
        "float32" => Tensor::from_vec(&shape, values.map(|x| x as f32).collect::<Vec<f32>>()),
        "int32" => Tensor::from_vec(&shape, values.by_ref().map(|x| x as i32).collect::<Vec<i32>>()),
        _ => return Err(format!("no inputs of dtype '{dtype}'; known are float64, float32, int32")),
    };
    made.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::{Subject, close};
    use crate::workload;
    use lazuli_engine::{BackendChoice, Config};
    use std::path::Path;

    /// Every workload file is whole: it parses, has the inputs that its formula names and no others, builds, and
    /// computes the same compiled and interpreted.
    #[test]
    fn every_workload_runs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
        let workloads = workload::load(&folder, "").unwrap();
        assert!(workloads.len() >= 17);
        for w in workloads {
            for dtype in &w.dtypes {
                let (names, tensors) = make(&w, dtype, 1000).unwrap();
                let used = lazuli_cli::lang::parse(&w.name, &w.formula).unwrap();
                for name in &names {
                    assert!(used.names().contains(name.as_str()), "{} does not use {name}", w.name);
                }
                let subject = Subject::new(&w.formula, names, tensors).unwrap();
                assert!(subject.build().is_ok(), "{}", w.name);
                let interpreted = subject.compute(&Config::default().backend(BackendChoice::Interp)).unwrap();
                let called = subject.call(&Config::default()).unwrap();
                close(&called, &interpreted).unwrap_or_else(|e| panic!("{} {dtype}: {e}", w.name));
                assert_eq!(interpreted.dtype().to_string(), *dtype, "{}", w.name);
            }
        }
    }

    #[test]
    fn numbers_are_uniform() {
        let mut random = Random(7);
        let values: Vec<f64> = (0..10_000).map(|_| random.uniform(-1.0, 3.0)).collect();
        assert!(values.iter().all(|x| (-1.0..3.0).contains(x)));
        assert!((values.iter().sum::<f64>() / 1e4 - 1.0).abs() < 0.05);
    }
}
