//! Container logs and log files: tailed, joined, tagged, handed on as OTLP log records.
//!
//! Text is read from Docker's json-file logs through kept-open descriptors, and of containers with
//! other log drivers as Docker streams it; a position moves only after the inlet took what was read,
//! so a crash repeats at most what was in flight and loses nothing. Memory does not grow with the
//! number of files: text waits in the files.

mod engine;
pub mod followed;
pub mod json_file;
pub mod lines;
pub mod positions;
pub mod records;
mod statistics;
pub mod tailer;
pub mod targets;
mod watch;

pub use statistics::Statistics;
pub use tailer::{ContainerLogs, LogTailer, Options};
pub use targets::{FileTarget, FollowedFile, InvalidTarget, TargetState};
