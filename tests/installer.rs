//! The installer on a real kernel, a real file system and a real Wireshark: into scratch roots,
//! into scratch homes, and once into the folders of this machine.

mod installer {
    pub(crate) mod doctor;
    pub(crate) mod personal;
    pub(crate) mod profile;
    pub(crate) mod real;
    pub(crate) mod scratch;
    pub(crate) mod setting;
    pub(crate) mod text;
}

use libtest_mimic::Arguments;

use installer::{doctor, personal, profile, real, scratch, setting, text};

fn main() {
    let arguments = Arguments::from_args();
    let programs = setting::copy_programs();
    let trials = [
        text::trials(),
        scratch::trials(),
        personal::trials(),
        profile::trials(),
        doctor::trials(),
        real::trials(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    drop(programs);
    conclusion.exit();
}
