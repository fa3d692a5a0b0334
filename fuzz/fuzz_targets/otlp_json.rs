#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| guidon_fuzz::check::json(data));
