//! The `hosho` program.

fn main() {}
