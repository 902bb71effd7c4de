//! The `hosho` program.
//!
//! Memory is allocated by the C library. mimalloc was measured: as fast for a whole application, and three
//! times the memory, because each of the forty threads that may block keeps pages of its own (docs/bench.md).

use std::process::ExitCode;

fn main() -> ExitCode {
    hosho::cli::main()
}
