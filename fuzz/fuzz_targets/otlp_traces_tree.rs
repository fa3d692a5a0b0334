#![no_main]

use guidon_fuzz::{check, seeds, signal::Signal, tree::Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::put("otlp_traces_tree"),
    |tree: Tree| check::otlp(Signal::Traces, &tree.encode())
);
