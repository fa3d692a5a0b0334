//! guidon tests
