//! The Manager's HTTP API, health, metrics. Knows no room's inside: it calls handles.
