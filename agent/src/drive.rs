//! Makes an app exist, makes it go. Knows no telemetry.
