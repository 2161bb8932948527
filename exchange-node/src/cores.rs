//! Work for the processor, such as seals: off the threads that wait for others.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinError;

/// Does `work` on a thread of its own. On a runtime that has a single thread it is done at once:
/// then what happens follows from the order of calls alone, and a simulated schedule comes again.
///
/// # Errors
/// When the work ended in a panic.
pub async fn spread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Ok(work()),
        _ => tokio::task::spawn_blocking(work).await,
    }
}
