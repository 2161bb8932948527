//! The one binary, `pli`. Everything it does lives in the library, where tests and tools reach it.

use std::process::ExitCode;

/// A node makes and drops thousands of small objects for each batch, on all cores at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exchange_node::cli::main()
}
