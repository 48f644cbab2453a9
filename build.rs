//! Links statically what would otherwise be shared libraries to load at each start, since Wireshark starts this program two
//! or three times for each container: GCC's unwinder, and libpcap where `CONTAINERDUMP_LIBPCAP` names a folder with a
//! `libpcap.a` (installer/static/libpcap). Debian's shared libpcap loads the libraries of D-Bus and systemd, half the time
//! of a start.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CONTAINERDUMP_LIBPCAP");
    // The linker searches this folder before those of the system.
    if let Some(folder) = env::var_os("CONTAINERDUMP_LIBPCAP").filter(|folder| !folder.is_empty()) {
        println!("cargo::rustc-link-search=native={}", PathBuf::from(folder).display());
    }
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") {
        // Rust's standard library links the shared `gcc_s`. This linker script of the same name, found first, names GCC's
        // static archives instead.
        let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
        fs::write(folder.join("libgcc_s.so"), "GROUP ( libgcc_eh.a libgcc.a )\n")?;
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    Ok(())
}
