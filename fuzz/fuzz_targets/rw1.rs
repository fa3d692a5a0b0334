#![no_main]

use guidon_fuzz::{check, seeds};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::put("rw1"),
    |data: &[u8]| check::rw1(data)
);
