//! Runs blocking work in parallel, on threads without capabilities.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::privilege;

/// Applies `work` to all items, at most `max_threads` at a time, and keeps their order. The threads have dropped their
/// capabilities and ended when it returns.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    max_threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let work_off = || {
        while let Some((number, item)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            items.get(number).map(|item| (number, item))
        } {
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        }
    };
    std::thread::scope(|scope| {
        let on_thread = || {
            work_off();
            // A thread that is about to end is still checked by a later drop of capabilities.
            let _ = privilege::drop_on_this_thread();
        };
        // Fewer threads if no more can be created.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, on_thread).ok();
        let threads: Vec<_> = (1..max_threads.min(items.len())).filter_map(spawn).collect();
        work_off();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Runs `spawned` on another thread and `here` on this one. That thread has dropped its capabilities and ended when this
/// returns.
pub(crate) fn join<A: Send, B>(spawned: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let on_thread = || {
            let result = spawned();
            let _ = privilege::drop_on_this_thread();
            result
        };
        let thread = std::thread::Builder::new().spawn_scoped(scope, on_thread);
        let result = here();
        let other = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // One after the other if no thread can be created.
            Err(_) => spawned(),
        };
        (other, result)
    })
}
