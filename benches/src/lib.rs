//! Benches of guidon: each binary under `src/bin` measures one promise and says how it got its
//! numbers in `docs/benchmarks.md`.
//!
//! Owns: load generators, counting receivers and the accounting around them. Must not know: the
//! inside of any room of the agent; what is measured here is started as a process and judged by
//! HTTP, `/proc` and files only. The exception is the cost of the kernel programs, which the kernel
//! room itself tells.

pub mod forward;
pub mod logs;
pub mod probe_cost;
