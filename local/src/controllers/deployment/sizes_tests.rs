//! Tables after upstream's `rolling_test.go`, `sync_test.go` and the Deployment page of the documentation.

use super::*;

fn set(name: &str, created_ms: i64, replicas: i32, available: i32) -> Set {
    Set {
        name: name.to_owned(),
        created_ms,
        replicas,
        actual: replicas,
        ready: available,
        available,
        revision: created_ms,
        desired_noted: Some(10),
        max_noted: None,
        observed: true,
        deleting: false,
    }
}

fn rolling(replicas: i32, surge: Share, unavailable: Share) -> Rollout {
    Rollout { replicas, strategy: Strategy::RollingUpdate { max_surge: surge, max_unavailable: unavailable } }
}

fn sizes(actions: &[Action]) -> Vec<(String, i32)> {
    let size = |action: &Action| match action {
        Action::Scale { name, to, .. } => (name.clone(), *to),
        Action::CreateNew(size) => ("create".to_owned(), *size),
        Action::Delete(name) => (name.clone(), -1),
    };
    actions.iter().map(size).collect()
}

fn named(expected: &[(&str, i32)]) -> Vec<(String, i32)> {
    expected.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
}

#[test]
fn shares_round_up_for_surge_and_down_for_unavailable() {
    for (id, replicas, surge, unavailable) in
        [("25% of 10", 10, 3, 2), ("25% of 2", 2, 1, 0), ("25% of 1", 1, 1, 0), ("25% of 0", 0, 0, 0)]
    {
        let rollout = rolling(replicas, Share::Percent(25), Share::Percent(25));
        assert_eq!((rollout.max_surge(), rollout.max_unavailable()), (surge, unavailable), "{id}");
    }
    let stuck = rolling(10, Share::Pods(0), Share::Percent(1));
    assert_eq!((stuck.max_surge(), stuck.max_unavailable()), (0, 1), "both zero: one may be missing");
    assert_eq!(rolling(3, Share::Pods(1), Share::Pods(9)).max_unavailable(), 3);
}

#[test]
fn new_set_grows_within_surge() {
    // TestDeploymentController_reconcileNewReplicaSet: replicas 10; (surge, old, new) -> size of new.
    for (id, surge, old, new, expected) in [
        ("no room", 0, 10, 0, None),
        ("surge of two", 2, 10, 0, Some(2)),
        ("room left by old", 2, 5, 0, Some(7)),
        ("surge used up", 2, 10, 2, None),
        ("too large", 2, 2, 11, Some(10)),
    ] {
        let rollout = rolling(10, Share::Pods(surge), Share::Pods(0));
        let old = [set("old", 1, old, 0)];
        let actions = roll(&rollout, Some(&set("new", 2, new, 0)), &old);
        let grown = sizes(&actions).into_iter().find(|(name, _)| name == "new").map(|(_, size)| size);
        assert_eq!(grown, expected, "{id}");
    }
}

#[test]
fn old_sets_shrink_within_unavailable() {
    // TestDeploymentController_reconcileOldReplicaSets: replicas 10, surge 0;
    // (unavailable, old, new, available old, available new) -> size of old.
    for (id, unavailable, old, new, old_available, new_available, expected) in [
        ("one at least", 0, 10, 0, 10, 0, Some(9)),
        ("two", 2, 10, 0, 10, 0, Some(8)),
        ("unhealthy first", 2, 10, 0, 8, 0, Some(8)),
        ("unhealthy and one healthy", 2, 10, 0, 9, 0, Some(8)),
        ("new not available", 2, 8, 2, 8, 0, None),
    ] {
        let rollout = rolling(10, Share::Pods(0), Share::Pods(unavailable));
        let old = [set("old", 1, old, old_available)];
        let actions = roll(&rollout, Some(&set("new", 2, new, new_available)), &old);
        let shrunk = sizes(&actions).into_iter().find(|(name, _)| name == "old").map(|(_, size)| size);
        assert_eq!(shrunk, expected, "{id}");
    }
}

#[test]
fn rollout_of_ten_ends_and_keeps_within_its_limits() {
    let rollout = rolling(10, Share::Percent(25), Share::Percent(25));
    let mut old = set("old", 1, 10, 10);
    let mut new = set("new", 2, 0, 0);
    for _ in 0..20 {
        for (name, size) in sizes(&roll(&rollout, Some(&new), std::slice::from_ref(&old))) {
            let target = if name == "old" { &mut old } else { &mut new };
            target.replicas = size;
            target.available = target.available.min(size);
        }
        assert!(old.replicas + new.replicas <= 13, "surge");
        assert!(old.available + new.available >= 8, "availability");
        new.available = new.replicas;
    }
    assert_eq!((old.replicas, new.replicas), (0, 10));
    assert!(roll(&rollout, Some(&new), &[old]).is_empty());
}

#[test]
fn first_rollout_creates_the_full_set() {
    let rollout = rolling(2, Share::Percent(25), Share::Percent(25));
    assert_eq!(roll(&rollout, None, &[]), vec![Action::CreateNew(2)]);
}

#[test]
fn change_of_replicas_is_shared_in_proportion() {
    let with_max = |mut set: Set, max: i32| {
        set.max_noted = Some(max);
        set
    };
    // The documentation's example: 10 replicas, surge 3, unavailable 2, mid-rollout 8 + 5, scaled to 15.
    let rollout = rolling(15, Share::Pods(3), Share::Pods(2));
    let new = with_max(set("new", 2, 5, 0), 13);
    let old = [with_max(set("old", 1, 8, 8), 13)];
    assert!(is_scaling_event(&rollout, &old));
    assert_eq!(sizes(&scale(&rollout, Some(&new), &old)), named(&[("old", 11), ("new", 7)]));
    // To zero: every set to zero.
    let none = rolling(0, Share::Pods(3), Share::Pods(2));
    assert_eq!(sizes(&scale(&none, Some(&new), &old)), named(&[("old", 0), ("new", 0)]));
    // sync_test "proportional scaling (no rounding)": 10 -> 15, sets 5 and 5 without surge.
    let even = rolling(15, Share::Pods(0), Share::Pods(1));
    let (a, b) = (with_max(set("new", 2, 5, 5), 10), with_max(set("old", 1, 5, 5), 10));
    let shared = sizes(&scale(&even, Some(&a), &[b]));
    assert_eq!(shared.iter().map(|(_, size)| size).sum::<i32>(), 15);
}

#[test]
fn only_active_set_takes_the_size() {
    let rollout = rolling(12, Share::Pods(1), Share::Pods(1));
    assert_eq!(sizes(&scale(&rollout, Some(&set("new", 2, 10, 10)), &[])), named(&[("new", 12)]));
    assert_eq!(
        sizes(&scale(&rollout, Some(&set("new", 2, 0, 0)), &[set("old", 1, 10, 10)])),
        named(&[("old", 12)])
    );
}

#[test]
fn recreate_waits_for_old_pods() {
    let rollout = Rollout { replicas: 3, strategy: Strategy::Recreate };
    let old = [set("old", 1, 3, 3)];
    assert_eq!(sizes(&recreate(&rollout, None, &old, true)), named(&[("old", 0)]));
    let emptied = [set("old", 1, 0, 0)];
    assert!(recreate(&rollout, None, &emptied, true).is_empty());
    assert_eq!(recreate(&rollout, None, &emptied, false), vec![Action::CreateNew(3)]);
}

#[test]
fn history_keeps_the_newest_and_the_busy() {
    let old = [set("a", 1, 0, 0), set("b", 2, 0, 0), set("c", 3, 1, 1), set("d", 4, 0, 0)];
    assert_eq!(sizes(&forget_history(&old, Some(1))), named(&[("a", -1), ("b", -1)]));
    assert!(forget_history(&old, Some(10)).is_empty());
    assert!(forget_history(&old, None).is_empty());
}
