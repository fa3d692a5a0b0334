//! Parts of the bench `probe_cost`: storms to measure under, and the table.

pub mod storm;
pub mod table;
