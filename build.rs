//! Links the unwinder of GCC into the programs: one library less to load at every start, and
//! Wireshark starts this program two or three times for each container.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") {
        // Rust's standard library asks for `gcc_s`, which is shared; the linker takes the first
        // of that name it finds, and this one names GCC's own archives.
        let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
        fs::write(folder.join("libgcc_s.so"), "GROUP ( libgcc_eh.a libgcc.a )\n")?;
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    Ok(())
}
