//! Container logs and log files: tailed, joined, tagged, handed on as OTLP log records.
//!
//! Text is read from Docker's json-file logs through kept-open descriptors; a position moves only
//! after the inlet took what was read, so a crash repeats at most what was in flight and loses
//! nothing. Memory does not grow with the number of files: text waits in the files.

pub mod followed;
pub mod json_file;
pub mod lines;
pub mod positions;
pub mod records;
pub mod tailer;
pub mod targets;
mod watch;

pub use tailer::{LogTailer, Options, Statistics};
pub use targets::{FileTarget, FollowedFile, InvalidTarget, TargetState};
