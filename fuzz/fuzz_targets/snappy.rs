#![no_main]

use guidon_fuzz::{check, seeds};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::put("snappy"),
    |data: &[u8]| check::snappy(data)
);
