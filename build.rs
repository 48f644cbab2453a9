//! Links into the programs what would be a shared library to load at every start, since Wireshark starts this program two
//! or three times for each container: the unwinder of GCC, and libpcap where `CONTAINERDUMP_LIBPCAP` names a folder with
//! a `libpcap.a` (installer/static/libpcap). Debian's shared one asks for D-Bus, systemd and what these ask for, which is
//! half of each start.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CONTAINERDUMP_LIBPCAP");
    // The linker takes the first of that name it finds, and looks here before it looks where the system has its own.
    if let Some(folder) = env::var_os("CONTAINERDUMP_LIBPCAP").filter(|folder| !folder.is_empty()) {
        println!("cargo::rustc-link-search=native={}", PathBuf::from(folder).display());
    }
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") {
        // Rust's standard library asks for `gcc_s`, which is shared; the linker takes the first
        // of that name it finds, and this one names GCC's own archives.
        let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
        fs::write(folder.join("libgcc_s.so"), "GROUP ( libgcc_eh.a libgcc.a )\n")?;
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    Ok(())
}
