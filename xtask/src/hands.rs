//! Many small chores, some at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};

/// How many at a time: Docker does about so many things at once.
const HANDS: usize = 4;

/// Does it for every number below `count`, four at a time. The first error of each hand ends that
/// hand; one of them is returned.
pub fn side_by_side(count: usize, act: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            act(number)?;
        }
    };
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(work)).collect();
        hands
            .into_iter()
            .try_for_each(|hand| hand.join().unwrap_or_else(|_| bail!("a hand panicked")))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn each_is_done_once_and_an_error_comes_out() {
        let done = Mutex::new(Vec::new());
        side_by_side(20, |number| {
            done.lock().unwrap().push(number);
            Ok(())
        })
        .unwrap();
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
        assert!(side_by_side(20, |_| bail!("no")).is_err());
    }
}
