//! The typed configuration: its file format, validation, overrides, and reload as a difference.
//!
//! Knows nothing that runs. Every key is optional; unknown keys are errors; all problems of a file
//! are reported together, each with its line.

mod guid;
mod types;

pub use guid::{Guid, InvalidGuid};
pub use types::*;
