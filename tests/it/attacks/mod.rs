//! Attacks that were seen to succeed, each against the program as it is.
//!
//! - `configuration`: a file that names other databases, stores and servers;
//! - `mail`: replies that are not the server's;
//! - `process`: memory, environment;
//! - `roles`: rights in the database.

mod configuration;
mod mail;
mod process;
mod roles;
