//! The rules with the data of `config/`: examples and generated documents.

mod examples;
mod rulebook;
