#![no_main]

libfuzzer_sys::fuzz_target!(|tree: guidon_fuzz::tree::Tree| guidon_fuzz::check::otlp(guidon::signal::Signal::Metrics, &tree.encode()));
