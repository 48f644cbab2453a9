//! Repeats a failed test without others beside it: the machine may be busy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError, RwLock};

/// More repeated tests in one run are a failure.
const MAX_REPEATED: usize = 4;

static CONCURRENT: RwLock<()> = RwLock::new(());
static REPEATED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs a test, and repeats it alone if it fails.
///
/// Panics if it fails again, or if too many tests had to be repeated.
pub(crate) fn run(name: &str, test: impl Fn()) {
    let concurrent = CONCURRENT.read().unwrap_or_else(PoisonError::into_inner);
    let outcome = catch_unwind(AssertUnwindSafe(&test));
    drop(concurrent);
    if outcome.is_ok() {
        return;
    }
    eprintln!("{name} failed beside other tests and is repeated alone");
    let _alone = CONCURRENT.write().unwrap_or_else(PoisonError::into_inner);
    test();
    let mut names = REPEATED.lock().unwrap_or_else(PoisonError::into_inner);
    names.push(name.to_owned());
    assert!(names.len() <= MAX_REPEATED, "too many tests that pass only alone: {}", names.join(", "));
}

/// Prints the tests that passed only when repeated; `tests/lab/sum-results` reads it.
pub(crate) fn print_repeated() {
    for name in REPEATED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("passed only alone: {name}");
    }
}
