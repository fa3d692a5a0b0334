#![no_main]

use guidon_fuzz::{check, seeds};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::put("otlp_json"),
    |data: &[u8]| check::json(data)
);
