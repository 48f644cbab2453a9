//! Opening FIFOs of Wireshark without waiting for it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use log::warn;
use nix::fcntl::OFlag;

/// Opens a FIFO of this user. The capture runs without a toolbar where that is not possible.
pub(super) fn open_fifo(path: &Path, options: &mut OpenOptions) -> Option<File> {
    let file = open(path, options, OFlag::O_NOFOLLOW)?;
    let user = nix::unistd::Uid::current().as_raw();
    let is_own =
        file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo() && metadata.uid() == user);
    if !is_own {
        warn!("toolbar disabled: {} is not a FIFO of this user", path.display());
    }
    is_own.then_some(file)
}

/// Opens `path` with `flags`, without blocking.
pub(super) fn open(path: &Path, options: &mut OpenOptions, flags: OFlag) -> Option<File> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = options.custom_flags(flags.bits()).open(path);
    file.map_err(|error| warn!("toolbar disabled: cannot open {}: {error}", path.display())).ok()
}
