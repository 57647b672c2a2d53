use super::*;

#[test]
fn edges() {
    let hundred = |usages: &[i64]| usages.iter().map(|u| pod(*u).request(100)).collect::<Vec<_>>();
    assert_eq!(cpu(4, 80, &hundred(&[88, 88, 89, 90])), (4, 88), "D1");
    assert_eq!(cpu(4, 80, &hundred(&[88, 89, 89, 90])), (5, 89), "D2");
    assert_eq!(cpu(10, 80, &at_percent(10, 72)).0, 10, "D3");
    assert_eq!(cpu(10, 80, &at_percent(10, 71)).0, 9, "D4");
    let mut almost = vec![pod(890); 100];
    almost[0] = pod(880);
    assert_eq!(cpu(100, 80, &almost), (100, 88), "D5");
    assert_eq!(cpu(100, 80, &at_percent(100, 89)).0, 112, "D6");
    assert_eq!(cpu(2, 50, &[pod(900), pod(100).request(100)]), (4, 90), "D7");
    assert_eq!(cpu(5, 50, &at_percent(5, 0)).0, 0, "D8 idle");
    assert_eq!(cpu(5, 50, &pods(&[5; 5])).0, 0, "D8 half a percent");
    assert_eq!(cpu(4, 70, &vec![pod(760); 4]).0, 4, "D9 whole pod");
    assert_eq!(cpu(4, 70, &vec![pod(700).request(750); 4]).0, 6, "D9 container");
    assert_eq!(cpu(10, 50, &at_percent(4, 90)).0, 8, "D10");
    let mut surge = at_percent(10, 100);
    surge.extend(vec![pod(0).not_ready(); 3]);
    assert_eq!(cpu(10, 80, &surge).0, 10, "D11");
    assert_eq!(cpu(10, 80, &at_percent(13, 80)).0, 10, "D12");
    assert_eq!(cpu(10, 80, &at_percent(13, 96)).0, 16, "D13");
    assert_eq!(cpu(10, 80, &at_percent(10, 96)).0, 12, "D13 without surge");
    assert_eq!(cpu(10, 80, &at_percent(13, 70)).0, 12, "D14");
    assert_eq!(cpu(383, 70, &at_percent(383, 80)).0, 438, "D15");
    assert_eq!(cpu(383, 70, &at_percent(479, 80)).0, 548, "D15 with surge");
    let mixed =
        |own: i64, foreign: i64, count: usize| [at_percent(4, own), at_percent(count, foreign)].concat();
    assert_eq!(cpu(4, 50, &mixed(80, 5, 6)), (7, 35), "D16");
    assert_eq!(cpu(4, 50, &at_percent(4, 80)).0, 7, "D16 own only");
    assert_eq!(cpu(4, 50, &mixed(90, 0, 4)).0, 4, "D17");
    assert_eq!(cpu(4, 50, &at_percent(4, 90)).0, 8, "D17 own only");
    let missing = |sampled: usize, percent: i64, missing: usize| {
        [at_percent(sampled, percent), vec![pod(0).missing(); missing]].concat()
    };
    assert_eq!(cpu(10, 80, &missing(9, 40, 1)).0, 6, "D18");
    assert_eq!(cpu(10, 80, &missing(5, 40, 5)).0, 9, "D19");
    assert_eq!(cpu(10, 80, &missing(8, 160, 2)).0, 16, "D20");
    let half = [pod(900), pod(900), pod(900).not_ready(), pod(900).not_ready()];
    assert_eq!(cpu(4, 50, &half).0, 4, "D21");
}

#[test]
fn a_float_may_ask_for_one_too_many() {
    for (id, count, percent, target, expected) in [
        ("D22", 7, 290, 70, 30),
        ("D23", 14, 145, 70, 30),
        ("D24", 15, 124, 60, 32),
        ("D24", 15, 155, 75, 32),
        ("D24", 15, 186, 90, 32),
        ("D25", 21, 90, 70, 28),
    ] {
        assert_eq!(cpu(count, target, &at_percent(count as usize, percent)).0, expected, "{id}");
    }
}

#[test]
fn percent_policies_in_float() {
    let ten = direction(&[policy(PolicyKind::Percent, 10, 60)]);
    let one = |up: bool, rules: &Direction, current: i32| {
        let policy = rules.policies[0];
        let allowed = normalize::allowed(up, false, current, policy.kind, policy.value);
        normalize::rate_limit(up, current, rules.select, [allowed].into_iter())
    };
    let up = |current| one(true, &ten, current);
    assert_eq!([50, 90, 100, 200].map(up), [56, 100, 111, 221], "D26");
    let ninety = direction(&[policy(PolicyKind::Percent, 90, 60)]);
    let down = |current| one(false, &ninety, current);
    assert_eq!([10, 20, 100].map(down), [0, 1, 9], "D27");
}
