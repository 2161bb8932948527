//! Work for the processor, such as seals: off the threads that wait for others, on all cores.

use std::sync::{Arc, LazyLock};
use std::thread;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinError;

/// Items that are not worth a thread of their own: a seal or its verification takes a tenth of a
/// millisecond.
const LEAST: usize = 4;

/// Does `work` on a thread of its own, or at once as [`each`] does.
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

/// Does `one` with each item; the results in the order of the items. On a runtime that has a single
/// thread it is done at once: then what happens follows from the order of calls alone, and a simulated
/// schedule comes again.
///
/// Each core gets an equal share from the beginning. A pool whose threads take from each other (rayon)
/// spins while they look for more, and a batch of a node is over in a millisecond.
///
/// # Errors
/// When the work ended in a panic.
pub async fn each<T, R, F>(items: Vec<T>, one: F) -> Result<Vec<R>, JoinError>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Fn(T) -> R + Send + Sync + 'static,
{
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(items.into_iter().map(one).collect());
    }
    let (count, one) = (items.len(), Arc::new(one));
    let mut working = Vec::new();
    for share in shares(items, cores()) {
        let one = Arc::clone(&one);
        let work = move || share.into_iter().map(|item| one(item)).collect::<Vec<_>>();
        working.push(tokio::task::spawn_blocking(work));
    }
    let mut done = Vec::with_capacity(count);
    for share in working {
        done.append(&mut share.await?);
    }
    Ok(done)
}

/// How many there are for this process; the system reads half a dozen files to say so.
fn cores() -> usize {
    static CORES: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    *CORES
}

/// Cuts items into at most `most` runs of nearly the same length, none of fewer than [`LEAST`] unless
/// there are no more.
fn shares<T>(mut items: Vec<T>, most: usize) -> Vec<Vec<T>> {
    let mut runs = most.min(items.len() / LEAST).max(1);
    let mut out = Vec::with_capacity(runs);
    while runs > 1 {
        let rest = items.split_off(items.len() / runs);
        out.push(std::mem::replace(&mut items, rest));
        runs -= 1;
    }
    out.push(items);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_results_stand_in_the_order_of_the_items() {
        let doubled = each((0..100).collect(), |n: u32| 2 * n).await.unwrap();
        assert_eq!(doubled, (0..100).map(|n| 2 * n).collect::<Vec<_>>());
        assert!(each(Vec::new(), |n: u32| n).await.unwrap().is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_is_an_error() {
        assert!(each(vec![1, 0], |n: u32| 1_u32.checked_div(n).unwrap()).await.is_err());
    }

    proptest! {
        #[test]
        fn shares_are_even_and_lose_nothing(count in 0_usize..300, most in 1_usize..70) {
            let shares = shares((0..count).collect(), most);
            prop_assert_eq!(shares.concat(), (0..count).collect::<Vec<_>>());
            prop_assert!((1..=most).contains(&shares.len()));
            let sizes = || shares.iter().map(Vec::len);
            prop_assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
            prop_assert!(shares.len() == 1 || sizes().min().unwrap() >= LEAST);
        }
    }
}
