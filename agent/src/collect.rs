//! Container, node and self metrics: counters in, frames out. Knows neither HTTP nor Docker.
