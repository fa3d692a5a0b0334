#![no_main]

use guidon_fuzz::{check, seeds, signal::Signal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::put("otlp_metrics"),
    |data: &[u8]| check::otlp(Signal::Metrics, data)
);
