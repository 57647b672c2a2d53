use super::*;

const NAME: &str = "collector";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn why(kept: &Kept, now: SystemTime) -> (String, bool) {
    match decide(kept, NAME, now) {
        Step::Renew { why, broken } => (why, broken),
        Step::Keep { until } => panic!("kept until {until:?}"),
    }
}

fn is_kept(kept: &Kept, now: SystemTime) -> bool {
    matches!(decide(kept, NAME, now), Step::Keep { .. })
}

#[test]
fn a_life_of_a_certificate() {
    assert_eq!(why(&Kept::default(), start()), ("it is empty".to_owned(), true));
    let first = renewed(&Kept::default(), NAME, start()).unwrap();
    let Step::Keep { until } = decide(&first, NAME, start()) else { panic!("just made") };
    let after = until.duration_since(start()).unwrap();
    assert!(after > 59 * DAY && after < 61 * DAY, "{after:?}");
    assert_eq!(why(&first, until), ("two thirds of its validity are over".to_owned(), false));
    let second = renewed(&first, NAME, until).unwrap();
    assert!(is_kept(&second, until));
    // Servers that have not changed over yet are still accepted.
    let bundle = authorities(&second.authorities_pem, until);
    assert_eq!(bundle.len(), 2);
    let old = certified_key(&first.certificate_pem, &first.key_pem, "old").unwrap();
    verify(&old.cert[0], &[], &bundle, NAME, until).unwrap();
    // At the next renewal the first authority has expired with its certificate.
    let later = until + 60 * DAY;
    assert_eq!(authorities(&renewed(&second, NAME, later).unwrap().authorities_pem, later).len(), 2);
    assert!(
        why(&second, start() + 400 * DAY).0.contains("ca.crt holds no certificate"),
        "everything expired"
    );
}

#[test]
fn what_is_of_no_use_is_named() {
    let good = renewed(&Kept::default(), NAME, start()).unwrap();
    let other = renewed(&Kept::default(), NAME, start()).unwrap();
    let of_other_name = renewed(&Kept::default(), "else", start()).unwrap();
    for (id, kept, expected) in [
        ("no PEM", Kept { certificate_pem: "x".into(), ..good.clone() }, "tls.crt"),
        ("no key", Kept { key_pem: String::new(), ..good.clone() }, "tls.key"),
        ("key of another", Kept { key_pem: other.key_pem.clone(), ..good.clone() }, "tls.key"),
        ("foreign CA", Kept { authorities_pem: other.authorities_pem.clone(), ..good.clone() }, "ca.crt"),
        ("no CA", Kept { authorities_pem: "junk".into(), ..good.clone() }, "ca.crt holds no certificate"),
        ("another name", of_other_name, "for collector"),
    ] {
        let (text, broken) = why(&kept, start());
        assert!(broken && text.contains(expected), "{id}: {text}");
        // What of it can still be used by running servers stays trusted.
        let mended = renewed(&kept, NAME, start()).unwrap();
        assert!(is_kept(&mended, start()), "{id}");
        let readable = authorities(&kept.authorities_pem, start()).len();
        assert_eq!(authorities(&mended.authorities_pem, start()).len(), readable + 1, "{id}");
    }
}

#[test]
fn the_bundle_is_bounded() {
    let mut kept = Kept::default();
    for _ in 0..2 * AUTHORITIES_LIMIT {
        kept = renewed(&kept, NAME, start()).unwrap();
    }
    assert_eq!(authorities(&kept.authorities_pem, start()).len(), AUTHORITIES_LIMIT);
    assert!(is_kept(&kept, start()));
}
