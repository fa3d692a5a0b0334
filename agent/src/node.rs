//! Puts it together: builds the rooms from the configuration, runs, reloads, shuts down.
//!
//! Two runtimes: `data` (all cores) for what carries records, `control` (the main thread) for
//! Docker, the API and signals, so that health and the Manager are answered while data is
//! saturated. Nothing here decides anything that a room could decide.

mod capabilities;
