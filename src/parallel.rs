//! Work that waits most of the time, done for several things at the same time, or beside other work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::privilege;

/// What `work` makes of each of `things`, in their order, for at most `most` at a time. The threads for that
/// have dropped every right and ended when it returns.
pub(crate) fn map<T: Sync, R: Send>(things: &[T], most: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(things.len()));
    let one_after_another = || {
        while let Some((number, thing)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            things.get(number).map(|thing| (number, thing))
        } {
            let result = work(thing);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        }
    };
    std::thread::scope(|scope| {
        let apart = || {
            one_after_another();
            // Who gives rights up later sees the threads that are about to end, too.
            let _ = privilege::drop_on_this_thread();
        };
        // Where there is no thread to be had, fewer will do.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, apart).ok();
        let threads: Vec<_> = (1..most.min(things.len())).filter_map(spawn).collect();
        one_after_another();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What `apart` and `here` make, at the same time. The thread for the former has dropped every right and ended when it
/// returns.
pub(crate) fn join<A: Send, B>(apart: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let on_its_own = || {
            let result = apart();
            let _ = privilege::drop_on_this_thread();
            result
        };
        let thread = std::thread::Builder::new().spawn_scoped(scope, on_its_own);
        let result = here();
        let of_apart = match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // Where there is no thread to be had, one after the other will do.
            Err(_) => apart(),
        };
        (of_apart, result)
    })
}
