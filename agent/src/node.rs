//! Puts it together: builds the rooms from the configuration, runs, reloads, shuts down.
