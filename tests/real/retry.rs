//! Tests run beside each other, on machines that others may keep busy, too. One that fails so is run once more with
//! nothing beside it, which is told: what passes only then is a test to be mended, or a defect that takes a busy
//! machine to be seen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError, RwLock};

/// More than these in one run are no accident.
const MOST: usize = 4;

static BESIDE_OTHERS: RwLock<()> = RwLock::new(());
static ONLY_ALONE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs a test, once more alone if it fails.
///
/// Panics when it fails then, too, or too many others have needed that.
pub(crate) fn run(name: &str, test: impl Fn()) {
    let beside = BESIDE_OTHERS.read().unwrap_or_else(PoisonError::into_inner);
    let outcome = catch_unwind(AssertUnwindSafe(&test));
    drop(beside);
    if outcome.is_ok() {
        return;
    }
    eprintln!("{name} failed beside others, and is run again alone");
    let _alone = BESIDE_OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    test();
    let mut names = ONLY_ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    names.push(name.to_owned());
    assert!(names.len() <= MOST, "too many that pass only alone: {}", names.join(", "));
}

/// Says which tests passed only alone.
pub(crate) fn tell() {
    for name in ONLY_ALONE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("passed only alone: {name}");
    }
}
