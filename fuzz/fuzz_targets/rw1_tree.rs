#![no_main]

libfuzzer_sys::fuzz_target!(|tree: guidon_fuzz::tree::Tree| guidon_fuzz::check::rw1(&tree.encode()));
