//! The rules with the obligees, branches and limits of `config/`: examples, and the generated documents.

mod examples;
mod rulebook;
