//! guidon
fn main() {}
