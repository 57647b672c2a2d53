//! What both engines load: counters, gauges and histograms with gaps, resets, ends and odd values, and series whose names,
//! labels and buckets are unusual.

use fastrand::Rng;

/// Between two samples.
pub const STEP_MS: i64 = 15_000;
/// Samples per series: an hour.
const SAMPLES: usize = 240;

/// A script that loads everything.
pub fn script(random: &mut Rng) -> String {
    let mut out = String::from("load 15s\n");
    for (job, instance) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "3"), ("c", "2")] {
        let labels = format!("job=\"{job}\",instance=\"{instance}\"");
        for (name, kind) in
            [("req_total", Kind::Counter), ("err_total", Kind::Counter), ("gauge", Kind::Digits)]
        {
            if random.u8(..8) > 0 {
                line(&mut out, &format!("{name}{{{labels}}}"), &values(random, kind));
            }
        }
        line(&mut out, &format!("temp{{{labels}}}"), &values(random, Kind::Wild));
        let version = instance.len();
        line(&mut out, &format!("info{{{labels},version=\"v{version}\"}}"), &format!("1x{SAMPLES}"));
        if instance != "3" {
            let mut step = 0;
            for bound in ["0.1", "0.5", "1", "5", "+Inf"] {
                step += random.u32(..5);
                line(
                    &mut out,
                    &format!("lat_bucket{{{labels},le=\"{bound}\"}}"),
                    &format!("0+{step}x{SAMPLES}"),
                );
            }
        }
    }
    odd_values(random, &mut out);
    odd_buckets(random, &mut out);
    odd_names(random, &mut out);
    out
}

fn line(out: &mut String, series: &str, values: &str) {
    out.push_str(&format!("  {series} {values}\n"));
}

fn odd_values(random: &mut Rng, out: &mut String) {
    for (kind, name) in [
        (Kind::Huge, "huge"),
        (Kind::Tiny, "tiny"),
        (Kind::Zeros, "zeros"),
        (Kind::Falling, "falling"),
        (Kind::Sparse, "sparse"),
        (Kind::NoNumbers, "no numbers"),
    ] {
        line(out, &format!("odd{{kind=\"{name}\"}}"), &values(random, kind));
    }
    line(out, "odd{kind=\"constant\"}", &format!("7.25x{SAMPLES}"));
    line(out, "odd{kind=\"single\"}", &format!("_x{} 42", random.usize(1..SAMPLES)));
    line(out, "odd{kind=\"ended\"}", &format!("stale stale 1+1x{} stale", random.usize(1..100)));
    // Twins of another name, which become alike without it.
    line(out, "twin_total{job=\"a\",instance=\"1\"}", &values(random, Kind::Counter));
    line(out, "twin_total{job=\"a\",instance=\"9\"}", &values(random, Kind::Counter));
}

/// Buckets that no client writes: bounds twice, without a bound, that are no numbers, below zero, counts that fall or are
/// none.
fn odd_buckets(random: &mut Rng, out: &mut String) {
    for bound in ["-2", "-0.5", "0", "1", "1.0", "1e0", "0x2", "4", "+Inf", "x", "", "Inf"] {
        let kind = [Kind::Counter, Kind::Digits, Kind::Wild][random.usize(..3)];
        if random.u8(..5) > 0 {
            line(out, &format!("odd_bucket{{job=\"a\",le=\"{bound}\"}}"), &values(random, kind));
        }
    }
    for bound in ["1", "2", "3"] {
        line(out, &format!("odd_bucket{{job=\"open\",le=\"{bound}\"}}"), &values(random, Kind::Digits));
    }
    for bound in ["-1", "0", "10", "+Inf"] {
        line(out, &format!("odd_bucket{{job=\"falls\",le=\"{bound}\"}}"), &values(random, Kind::Digits));
    }
    line(out, "odd_bucket{job=\"one\",le=\"+Inf\"}", &format!("0+3x{SAMPLES}"));
    line(out, "other_bucket{job=\"a\",le=\"1\"}", &format!("0+1x{SAMPLES}"));
    line(out, "other_bucket{job=\"a\",le=\"+Inf\"}", &format!("0+2x{SAMPLES}"));
}

fn odd_names(random: &mut Rng, out: &mut String) {
    for series in [
        "{\"a.b\",job=\"a\"}",
        "{\"größe\",\"l.x\"=\"1\"}",
        "{\"größe\",\"l.x\"=\"2\"}",
        "{\"offset\",job=\"a\"}",
        "{\"sum\",\"by\"=\"1\"}",
        "{\"on\",\"bool\"=\"1\",\"offset\"=\"2\"}",
        "a:b:c{job=\"b\"}",
        "text{v=\"a\\nb\"}",
        "text{v=\"q\\\"\\\\\"}",
        "text{v=\"日本\"}",
        "text{v=\"a|b.c$1\"}",
    ] {
        line(out, series, &values(random, Kind::Digits));
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Digits,
    Wild,
    Huge,
    Tiny,
    Zeros,
    Falling,
    Sparse,
    NoNumbers,
}

fn values(random: &mut Rng, kind: Kind) -> String {
    let mut value = f64::from(random.u32(..100));
    let mut out = Vec::with_capacity(SAMPLES);
    while out.len() < SAMPLES {
        let roll = random.u8(..100);
        let item = match roll {
            0..=3 => "_".into(),
            4 => "stale".into(),
            5 if matches!(kind, Kind::Wild) => "NaN".into(),
            6 if matches!(kind, Kind::Wild) => "Inf".into(),
            _ => {
                value = next(random, kind, roll, value);
                number(value)
            }
        };
        out.push(item);
        if matches!(kind, Kind::Sparse) && roll > 50 {
            // Longer than a sample counts as the latest.
            out.push("_x25".into());
        }
    }
    out.join(" ")
}

fn next(random: &mut Rng, kind: Kind, roll: u8, value: f64) -> f64 {
    match kind {
        Kind::Counter if roll < 9 => 0.0,
        Kind::Counter => value + f64::from(random.u32(..20)),
        Kind::Digits | Kind::Sparse => f64::from(random.u32(..10)),
        Kind::Wild => (random.f64() - 0.5) * 100.0,
        Kind::Huge => [f64::MAX, -f64::MAX, 1e308, 1e17, -3.0][random.usize(..5)],
        // Logarithms of still smaller ones are wrong in Go.
        Kind::Tiny => [2.3e-308, -2.3e-308, 1e-305, 1e-300, 1.0][random.usize(..5)],
        Kind::Zeros => [0.0, -0.0, 1e-9][random.usize(..3)],
        Kind::Falling => value - f64::from(random.u32(..5)),
        Kind::NoNumbers => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0][random.usize(..4)],
    }
}

fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value if value == 0.0 || (1e-5..1e15).contains(&value.abs()) => format!("{value}"),
        value => format!("{value:e}"),
    }
}
