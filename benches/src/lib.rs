//! guidon benches
