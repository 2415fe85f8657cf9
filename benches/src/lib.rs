//! Workloads and harness of the Lazuli benchmarks.
