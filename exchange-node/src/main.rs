//! The one binary, `pli`. Everything it does lives in the library, where tests and tools reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    exchange_node::cli::main()
}
