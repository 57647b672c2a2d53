use proptest::prelude::*;

use super::*;

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Text, canonical text, `Value()`, `MilliValue()`: printed by k8s.io/apimachinery v0.37.2.
///
/// Rows where the Go result overflowed, or rounded a negative amount upwards, are not in the table.
const UPSTREAM: &[(&str, &str, i64, i64)] = &[
    ("0", "0", 0, 0),
    ("1", "1", 1, 1000),
    ("1000", "1k", 1000, 1000000),
    ("1000m", "1", 1, 1000),
    ("0.5", "500m", 1, 500),
    ("1.5", "1500m", 2, 1500),
    ("1.5Gi", "1536Mi", 1610612736, 1610612736000),
    ("250m", "250m", 1, 250),
    ("8300499n", "8300499n", 1, 9),
    ("19600u", "19600u", 1, 20),
    ("1e3", "1e3", 1000, 1000000),
    ("1E3", "1e3", 1000, 1000000),
    ("1e-3", "1e-3", 1, 1),
    ("12e6", "12e6", 12000000, 12000000000),
    ("100e1", "1e3", 1000, 1000000),
    ("1.5e3", "1500", 1500, 1500000),
    ("1e0", "1", 1, 1000),
    ("1e1", "10", 10, 10000),
    ("1e4", "10e3", 10000, 10000000),
    ("5e-9", "5e-9", 1, 1),
    ("1e-10", "1e-9", 1, 1),
    ("0.0000000001", "1n", 1, 1),
    ("1n", "1n", 1, 1),
    ("0.1n", "1n", 1, 1),
    ("1.1n", "2n", 1, 1),
    ("999999999n", "999999999n", 1, 1000),
    ("1000000000n", "1", 1, 1000),
    ("1k", "1k", 1000, 1000000),
    ("1500k", "1500k", 1500000, 1500000000),
    ("1M", "1M", 1000000, 1000000000),
    ("1G", "1G", 1000000000, 1000000000000),
    ("1T", "1T", 1000000000000, 1000000000000000),
    ("1P", "1P", 1000000000000000, 1000000000000000000),
    ("1Ki", "1Ki", 1024, 1024000),
    ("1Mi", "1Mi", 1048576, 1048576000),
    ("1Gi", "1Gi", 1073741824, 1073741824000),
    ("1Ti", "1Ti", 1099511627776, 1099511627776000),
    ("1Pi", "1Pi", 1125899906842624, 1125899906842624000),
    ("1023", "1023", 1023, 1023000),
    ("1024", "1024", 1024, 1024000),
    ("1025", "1025", 1025, 1025000),
    ("1000Ki", "1000Ki", 1024000, 1024000000),
    ("1020Ki", "1020Ki", 1044480, 1044480000),
    ("1024Ki", "1Mi", 1048576, 1048576000),
    ("2048Ki", "2Mi", 2097152, 2097152000),
    ("0.5Ki", "512", 512, 512000),
    ("0.5Mi", "512Ki", 524288, 524288000),
    ("0.1Ki", "102400m", 103, 102400),
    ("1.1Ki", "1126400m", 1127, 1126400),
    ("0.1Mi", "104857600m", 104858, 104857600),
    ("0.001Ki", "1024m", 2, 1024),
    ("0.0001Ki", "102400u", 1, 103),
    ("0.00001Ki", "10240u", 1, 11),
    ("-1.5Gi", "-1536Mi", -1610612736, -1610612736000),
    ("-250m", "-250m", -1, -250),
    ("-1", "-1", -1, -1000),
    ("+1", "1", 1, 1000),
    (".5", "500m", 1, 500),
    ("5.", "5", 5, 5000),
    ("1.G", "1G", 1000000000, 1000000000000),
    ("00100", "100", 100, 100000),
    ("0.10", "100m", 1, 100),
    ("1.123456789123", "1123456790n", 2, 1124),
    ("3.0000000001", "3000000001n", 4, 3001),
    ("100000", "100k", 100000, 100000000),
    ("100001m", "100001m", 101, 100001),
    ("1.01", "1010m", 2, 1010),
    ("64Mi", "64Mi", 67108864, 67108864000),
    ("20124Ki", "20124Ki", 20606976, 20606976000),
    ("20606976", "20606976", 20606976, 20606976000),
    ("1234567Ki", "1234567Ki", 1264196608, 1264196608000),
    ("0Ki", "0", 0, 0),
    ("0m", "0", 0, 0),
    ("0.0", "0", 0, 0),
    ("-0", "0", 0, 0),
    ("12345e10", "123450e9", 123450000000000, 123450000000000000),
    ("1E2", "100", 100, 100000),
    ("1e+3", "1e3", 1000, 1000000),
    ("0.000001Ei", "1152921504606846976u", 1152921504607, 1152921504606847),
    ("1.0000000000000000000001Gi", "1073741824000000001n", 1073741825, 1073741824001),
];

#[test]
fn canonical_form_and_rounding_are_apimachinerys() {
    for (text, canonical, value, milli) in UPSTREAM {
        let got = quantity(text);
        assert_eq!(
            (got.to_string(), got.value(), got.milli_value()),
            (canonical.to_string(), *value, *milli),
            "{text}"
        );
    }
}

#[test]
fn huge_amounts() {
    for (text, canonical) in [
        ("8Ei", "9223372036854775807"),
        ("100Ei", "9223372036854775807"),
        ("-8Ei", "-9223372036854775807"),
        ("7Ei", "7Ei"),
        ("10E", "10E"),
        ("1e19", "10e18"),
        ("1e30", "1e30"),
        ("12345678901234567890123", "12345678901234567890123"),
        // Upstream loses the suffix here; see `Quantity::thousands`.
        ("1000E", "1000E"),
        ("123456789012345678901234567890123456789012345Ki", "9223372036854775807"),
    ] {
        assert_eq!(quantity(text).to_string(), canonical, "{text}");
    }
    assert_eq!((quantity("10E").value(), quantity("-10E").milli_value()), (i64::MAX, i64::MIN));
    assert_eq!(quantity("1e10000").value(), i64::MAX);
    assert_eq!(quantity("1e10000").nano_value(), None);
    assert_eq!(quantity("1e-10000").nano_value(), Some(1));
    assert_eq!(quantity("1e10000").to_string().parse(), Ok(quantity("1e10000")));
}

#[test]
fn negative_amounts_round_away_from_zero() {
    for (text, value, milli) in
        [("-1500u", -1, -2), ("-1e-10", -1, -1), ("-1", -1, -1000), ("-2500m", -3, -2500)]
    {
        let got = quantity(text);
        assert_eq!((got.value(), got.milli_value()), (value, milli), "{text}");
    }
}

#[test]
fn text_that_is_no_quantity() {
    use QuantityError::{Format, Numeric, Suffix};
    for (text, error) in [
        ("", Format),
        ("1.1.M", Format),
        ("1+1.0M", Format),
        ("0.1mi", Suffix),
        ("0.1am", Format),
        ("aoeu", Format),
        (".5i", Suffix),
        ("1i", Suffix),
        ("-3.01e-", Suffix),
        ("1e", Suffix),
        ("1Kib", Format),
        ("1 Gi", Format),
        (" 1", Format),
        ("k", Format),
        (".", Format),
        ("+", Format),
        ("1ee3", Suffix),
        ("1e3.5", Format),
        ("1e3k", Format),
        ("1K", Suffix),
        ("1g", Format),
        ("NaN", Format),
        ("1e10001", Suffix),
        ("1e99999999999", Suffix),
        ("123456789012345678901234567890123456789", Numeric),
        ("1\u{e9}", Format),
    ] {
        assert_eq!(text.parse::<Quantity>(), Err(error), "{text:?}");
    }
    // Found by fuzzing: zeros before the exponent took an amount beyond the largest that can be read.
    assert_eq!(format!("8{}e10000", "0".repeat(47)).parse::<Quantity>(), Err(Suffix));
    assert_eq!("80e9999".parse::<Quantity>().unwrap().to_string(), "80e9999");
    let long = "1".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(long.parse::<Quantity>(), Err(QuantityError::TooLong { bytes: MAX_TEXT_BYTES + 1 }));
}

#[test]
fn cpu_and_memory_as_metrics_server_prints_them() {
    for (nanocores, text) in [
        (0, "0"),
        (8300499, "8300499n"),
        (19600000, "19600u"),
        (250000000, "250m"),
        (1000000000, "1"),
        (1500000000, "1500m"),
        (u64::MAX, "18446744073709551610n"),
    ] {
        assert_eq!(Quantity::from_nanocores(nanocores).to_string(), text);
    }
    for (bytes, text) in [
        (0, "0"),
        (1, "1"),
        (1000, "1k"),
        (1023, "1023"),
        (1024, "1Ki"),
        (1025, "1025"),
        (20606976, "20124Ki"),
        (8589934592, "8Gi"),
        (1 << 62, "4Ei"),
    ] {
        assert_eq!(Quantity::from_bytes(bytes).to_string(), text);
    }
    assert_eq!(Quantity::from_bytes(u64::MAX).to_string(), "18446744073709551610");
}

#[test]
fn milli_quantities_of_a_status() {
    assert_eq!(Quantity::from_milli(1000, QuantityFormat::BinarySi).to_string(), "1");
    assert_eq!(Quantity::from_milli(1500, QuantityFormat::DecimalSi).to_string(), "1500m");
    assert_eq!(Quantity::from_milli(1024 * 1024 * 1000, QuantityFormat::BinarySi).to_string(), "1Mi");
    assert_eq!(Quantity::from_milli(-250, QuantityFormat::DecimalSi).to_string(), "-250m");
}

/// hpa.md D28: the digits times a power of ten, not a division.
#[test]
fn d28_float_value_is_a_product() {
    assert_eq!(quantity("570m").as_f64(), 570.0 * 1e-3);
    assert_eq!(quantity("0.57").as_f64(), 570.0 * 1e-3);
    let differing = (0..1000).filter(|milli| f64::from(*milli) * 1e-3 != f64::from(*milli) / 1000.0).count();
    assert_eq!(differing, 144);
    assert_eq!(quantity("2Ki").as_f64(), 2048.0);
    assert_eq!(quantity("10e21").as_f64(), 1e22);
    assert_eq!(quantity("-1e400").as_f64(), f64::NEG_INFINITY);
}

#[test]
fn comparing_is_by_value() {
    let ordered =
        ["-1e30", "-2", "-1999m", "0", "1n", "999m", "1", "1023", "1Ki", "1025", "1G", "1Gi", "1e30", "1e31"];
    for pair in ordered.windows(2) {
        assert!(quantity(pair[0]) < quantity(pair[1]), "{pair:?}");
    }
    assert_eq!(quantity("1"), quantity("1000m"));
    assert_eq!(quantity("1Ki"), quantity("1024"));
    let (wide, narrow) = (quantity("99999999999999999999999999999999999999"), quantity("1e38"));
    assert_eq!((wide.cmp(&narrow), narrow.cmp(&wide)), (Ordering::Less, Ordering::Greater));
    assert_eq!(wide.cmp(&wide), Ordering::Equal);
}

#[test]
fn sums_keep_the_first_format() {
    let sum = |a: &str, b: &str| quantity(a).checked_add(&quantity(b)).map(|sum| sum.to_string());
    assert_eq!(sum("250m", "750m").as_deref(), Some("1"));
    assert_eq!(sum("0", "1Ki").as_deref(), Some("1Ki"));
    assert_eq!(sum("1Ki", "0").as_deref(), Some("1Ki"));
    assert_eq!(sum("1Mi", "1Mi").as_deref(), Some("2Mi"));
    assert_eq!(sum("1", "-1").as_deref(), Some("0"));
    assert_eq!(sum("1e10000", "1"), None);
}

#[test]
fn json_form() {
    assert_eq!(serde_json::to_string(&quantity("0.5")).unwrap(), r#""500m""#);
    let read = |json: &str| serde_json::from_str::<Quantity>(json).map(|quantity| quantity.to_string()).ok();
    assert_eq!(read("2").as_deref(), Some("2"));
    assert_eq!(read("-2").as_deref(), Some("-2"));
    assert_eq!(read("0.5").as_deref(), Some("500m"));
    assert_eq!(read(r#"" 1Gi ""#).as_deref(), Some("1Gi"));
    assert_eq!(read("null").as_deref(), Some("0"));
    assert_eq!(read(r#""x""#), None);
    assert_eq!(read("[]"), None);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        let _ = text.parse::<Quantity>();
    }

    #[test]
    fn canonical_text_reads_back(text in r"[+-]?[0-9]{1,25}(\.[0-9]{0,25})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,3})?") {
        if let Ok(first) = text.parse::<Quantity>() {
            let canonical = first.to_string();
            let second: Quantity = canonical.parse().expect("canonical text is a quantity");
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(canonical, second.to_string());
        }
    }

    #[test]
    fn milli_values_read_back(milli: i64) {
        let text = Quantity::from_milli(milli, QuantityFormat::DecimalSi).to_string();
        prop_assert_eq!(text.parse::<Quantity>().map(|quantity| quantity.milli_value()), Ok(milli));
    }
}
