#![no_main]

use guidon_fuzz::{check, seeds, tree::Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seeds::put("rw1_tree"),
    |tree: Tree| check::rw1(&tree.encode())
);
