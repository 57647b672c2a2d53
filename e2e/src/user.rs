//! The program as an ordinary user runs it.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::binary::flyball_binary;
use crate::skip::{has_program, is_root, skipped};

/// The user who has no rights: nobody.
const NOBODY: u32 = 65534;

/// Whether the program can be run without root's rights; if not, says that this test is skipped.
#[must_use]
pub fn can_be_ordinary() -> bool {
    let can = !is_root() || has_program("setpriv");
    if !can {
        skipped("no setpriv (util-linux) to give up root's rights with");
    }
    can
}

/// The program for a user without root's rights and without a session: as `nobody`, who is given the folder `home`, when
/// the tests run as root.
///
/// # Panics
/// When the folder cannot be given away.
#[must_use]
pub fn ordinary_program(home: &Path) -> Command {
    let mut command = if is_root() {
        // The folder with the workspace may be closed to others.
        let program = home.join("flyball");
        if !program.exists() {
            std::fs::copy(flyball_binary(), &program).expect("the program is copied");
        }
        std::fs::set_permissions(home, PermissionsExt::from_mode(0o755)).expect("rights are set");
        chown(home, Some(NOBODY), Some(NOBODY)).expect("the owner is set");
        let user = NOBODY.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(flyball_binary())
    };
    command.env_remove("XDG_RUNTIME_DIR").env_remove("DBUS_SESSION_BUS_ADDRESS");
    command
}
