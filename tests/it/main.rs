//! The integration tests: one binary over real servers, private to it and gone with it.
