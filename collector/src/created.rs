//! When a group was made, by the times of its folders: cAdvisor's rule, for groups of which no runtime says it.
//!
//! The lowest time of change of the group's folders and of one file in each, and never before the minute of boot. The kernel
//! sets these times when somebody first looks at a folder or file, and anew when it forgot them meanwhile; so this is looked
//! up once, when the group is found, and is late by the time for which nobody looked.

use crate::files;
use crate::group::{GroupFiles, SweepContext};

/// The file that is looked at: of v1, and of v2.
const FILES: [&str; 2] = ["cgroup.clone_children", "cgroup.events"];
const MINUTE_MS: i64 = 60_000;

/// Unix milliseconds; `None` where nothing of it can be looked at.
pub fn unix_ms(group: &GroupFiles, boot_unix_ms: Option<i64>, ctx: &mut SweepContext<'_>) -> Option<i64> {
    let path = &mut *ctx.path;
    let mut changed = |tree, name| {
        let path = files::join(path, group.path(), name).ok()?;
        files::changed_unix_ms(tree, path).ok()
    };
    let times = ctx.trees.iter().flat_map(|tree| {
        let folder = changed(tree, ".");
        // A tree in which the group is not made yet has none of its files either.
        let file = folder.and_then(|_| FILES.into_iter().find_map(|name| changed(tree, name)));
        [folder, file]
    });
    let lowest = times.flatten().min()?;
    Some(at_least_boot(lowest, boot_unix_ms))
}

fn at_least_boot(unix_ms: i64, boot_unix_ms: Option<i64>) -> i64 {
    let minute_of_boot = boot_unix_ms.map(|boot| boot - boot.rem_euclid(MINUTE_MS));
    minute_of_boot.map_or(unix_ms, |minute| unix_ms.max(minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_older_than_the_minute_of_boot() {
        let boot = 1_700_000_059_123;
        assert_eq!(at_least_boot(0, Some(boot)), 1_700_000_040_000);
        assert_eq!(at_least_boot(boot - 1, Some(boot)), boot - 1);
        assert_eq!(at_least_boot(boot + 1, Some(boot)), boot + 1);
        assert_eq!(at_least_boot(7, None), 7);
    }
}
