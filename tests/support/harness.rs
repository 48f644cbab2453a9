//! Tests that may lack what they need, run by libtest-mimic.

use libtest_mimic::{Failed, Trial};

use super::lab::Lab;
use super::retry;

/// Tests named like their functions.
#[allow(unused_macros, reason = "each test binary uses a part of the support")]
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        &[$((stringify!($test), $test)),*]
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use tests;

/// A test that needs the engine of `make test`.
pub(crate) type Test = (&'static str, fn(&Lab));

/// Makes a test with what it needs. Without that it is skipped for the given reason, or fails with `CI=true`.
pub(crate) fn trial<N: Send + 'static>(
    name: &str,
    need: Result<N, String>,
    test: impl Fn(&N) + Send + 'static,
) -> Trial {
    let is_skipped = need.is_err() && !in_ci();
    let title = name.to_owned();
    let run = move || {
        let need = need.map_err(Failed::from)?;
        retry::run(&title, || test(&need));
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(is_skipped)
}

/// Prints why `tests` are skipped, if they are.
pub(crate) fn explain<N>(tests: &str, need: &Result<N, String>) {
    if let Err(reason) = need {
        eprintln!("skipped: {tests}: {reason}");
    }
}

/// Whether tests that lack something fail.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}
