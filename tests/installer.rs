//! The installer with scratch roots, scratch homes, and once with the folders of this machine.

mod installer {
    pub(crate) mod doctor;
    pub(crate) mod fixtures;
    pub(crate) mod global_install;
    pub(crate) mod installed_profile;
    pub(crate) mod this_machine;
    pub(crate) mod user_install;
    pub(crate) mod wireshark_folders;
}

use libtest_mimic::Arguments;

use installer::{
    doctor, fixtures, global_install, installed_profile, this_machine, user_install, wireshark_folders,
};

fn main() {
    let arguments = Arguments::from_args();
    let programs = fixtures::copy_programs();
    let trials = [
        wireshark_folders::trials(),
        global_install::trials(),
        user_install::trials(),
        installed_profile::trials(),
        doctor::trials(),
        this_machine::trials(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    drop(programs);
    conclusion.exit();
}
