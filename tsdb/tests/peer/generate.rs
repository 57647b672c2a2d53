//! Data and queries, all from one seed.

use fastrand::Rng;

/// Between two samples.
pub const STEP_MS: i64 = 15_000;
/// Samples per series: an hour.
const SAMPLES: usize = 240;

/// A query and when it is asked; a step of 0 is one moment.
#[derive(Debug, Clone)]
pub struct Question {
    pub query: String,
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

pub struct Generator {
    random: Rng,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { random: Rng::with_seed(seed) }
    }

    /// A script that loads counters, gauges and histograms with gaps, resets, ends and odd values.
    pub fn data(&mut self) -> String {
        let mut out = String::from("load 15s\n");
        for (job, instance) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "3"), ("c", "2")] {
            for (name, kind) in [("req_total", 0), ("err_total", 0), ("gauge", 1), ("temp", 2)] {
                if self.random.u8(..8) > 0 {
                    let values = self.values(kind);
                    out.push_str(&format!("  {name}{{job=\"{job}\",instance=\"{instance}\"}} {values}\n"));
                }
            }
            out.push_str(&format!(
                "  info{{job=\"{job}\",instance=\"{instance}\",version=\"v{}\"}} 1x{SAMPLES}\n",
                instance.len()
            ));
            if instance != "3" {
                let mut factor = 0;
                for bound in ["0.1", "0.5", "1", "5", "+Inf"] {
                    factor += self.random.u32(..5);
                    out.push_str(&format!(
                        "  lat_bucket{{job=\"{job}\",instance=\"{instance}\",le=\"{bound}\"}} 0+{factor}x{SAMPLES}\n"
                    ));
                }
            }
        }
        out
    }

    fn values(&mut self, kind: u8) -> String {
        let mut value = f64::from(self.random.u32(..100));
        let mut out = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            out.push(match self.random.u8(..100) {
                0..=3 => "_".into(),
                4 => "stale".into(),
                5 if kind == 2 => "NaN".into(),
                6 if kind == 2 => "Inf".into(),
                roll => {
                    value = match kind {
                        0 if roll < 9 => 0.0,
                        0 => value + f64::from(self.random.u32(..20)),
                        1 => f64::from(self.random.u32(..10)),
                        _ => (self.random.f64() - 0.5) * 100.0,
                    };
                    format!("{value}")
                }
            });
        }
        out.join(" ")
    }

    pub fn question(&mut self) -> Question {
        let depth = self.random.usize(1..4);
        let query = if self.random.u8(..12) == 0 { self.scalar(depth) } else { self.vector(depth) };
        let start_ms = self.random.i64(0..3_700) * 1000 + self.random.i64(0..2) * 500;
        let step_ms =
            if self.random.bool() { 0 } else { [1_000, 7_000, 15_000, 60_000][self.random.usize(..4)] };
        Question { query, start_ms, end_ms: start_ms + step_ms * self.random.i64(0..20), step_ms }
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.random.usize(..choices.len())]
    }

    fn selector(&mut self) -> String {
        let name = self.one_of(&["req_total", "err_total", "gauge", "temp", "lat_bucket", "info", "none"]);
        let matchers = self.one_of(&[
            "",
            "",
            "",
            "{job=\"a\"}",
            "{job!=\"a\"}",
            "{instance=~\"1|2\"}",
            "{job!~\"b.*\",instance=\"1\"}",
            "{none=\"\"}",
        ]);
        format!("{name}{matchers}")
    }

    fn when(&mut self) -> &'static str {
        self.one_of(&[
            "",
            "",
            "",
            "",
            "",
            " offset 1m",
            " offset -30s",
            " @ 1800",
            " @ start()",
            " @ end() offset 15s",
        ])
    }

    fn range(&mut self) -> &'static str {
        self.one_of(&["15s", "30s", "1m", "2m", "5m", "10m", "47s"])
    }

    fn matrix(&mut self, depth: usize) -> String {
        if depth > 1 && self.random.u8(..4) == 0 {
            let (inner, range, when) = (self.vector(depth - 1), self.range(), self.when());
            let step = self.one_of(&["", "10s", "30s", "1m"]);
            return format!("({inner})[{range}:{step}]{when}");
        }
        format!("{}[{}]{}", self.selector(), self.range(), self.when())
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.random.u8(..8) {
            0 => "time()".into(),
            1 if depth > 1 => format!("scalar({})", self.vector(depth - 1)),
            2 if depth > 1 => {
                let op = self.one_of(&["+", "-", "*", "/", "%", "^"]);
                format!("({} {op} {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            3 => "pi()".into(),
            _ => self.one_of(&["0", "1", "2", "0.5", "-1", "NaN", "Inf", "10", "0.9"]).into(),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return format!("{}{}", self.selector(), self.when());
        }
        match self.random.u8(..24) {
            0..=2 => format!("{}{}", self.selector(), self.when()),
            3..=7 => self.over_range(depth),
            8..=12 => self.aggregation(depth),
            13..=17 => self.binary(depth),
            18..=21 => self.function(depth),
            22 => format!("-{}", self.vector(depth - 1)),
            _ => format!("vector({})", self.scalar(depth)),
        }
    }

    fn over_range(&mut self, depth: usize) -> String {
        let matrix = self.matrix(depth);
        match self.random.u8(..10) {
            0 => format!("quantile_over_time({}, {matrix})", self.scalar(1)),
            1 => format!("predict_linear({matrix}, {})", self.scalar(1)),
            2 => format!("double_exponential_smoothing({matrix}, 0.3, 0.7)"),
            _ => {
                let name = self.one_of(&[
                    "rate",
                    "rate",
                    "increase",
                    "increase",
                    "delta",
                    "irate",
                    "idelta",
                    "deriv",
                    "changes",
                    "resets",
                    "avg_over_time",
                    "sum_over_time",
                    "count_over_time",
                    "min_over_time",
                    "max_over_time",
                    "last_over_time",
                    "present_over_time",
                    "absent_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                    "mad_over_time",
                    "ts_of_max_over_time",
                    "ts_of_min_over_time",
                    "ts_of_last_over_time",
                ]);
                format!("{name}({matrix})")
            }
        }
    }

    fn grouping(&mut self) -> &'static str {
        self.one_of(&[
            "",
            "by (job) ",
            "by (job, instance) ",
            "without (instance) ",
            "by () ",
            "without () ",
            "by (le) ",
            "by (none) ",
        ])
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let (grouping, inner) = (self.grouping(), self.vector(depth - 1));
        match self.random.u8(..8) {
            // Which of equal ones, and which are first, depends on the order of the store.
            0 => format!(
                "count({} {grouping}({}, {inner}))",
                self.one_of(&["topk", "bottomk", "limitk"]),
                self.one_of(&["1", "2", "3", "100", "0"])
            ),
            1 => format!("quantile {grouping}({}, {inner})", self.scalar(1)),
            2 => format!("count_values {grouping}(\"v\", round({inner}, 0.01))"),
            _ => {
                let op =
                    self.one_of(&["sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
                format!("{op} {grouping}({inner})")
            }
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let left = self.vector(depth - 1);
        match self.random.u8(..6) {
            0 => {
                let op = self.one_of(&["and", "or", "unless"]);
                let on = self.one_of(&["", " on (job)", " ignoring (instance)", " on (job, instance)"]);
                format!("({left}) {op}{on} ({})", self.vector(depth - 1))
            }
            1 | 2 => {
                let op = self.operator();
                let scalar = self.scalar(depth - 1);
                if self.random.bool() {
                    format!("({left}) {op} {scalar}")
                } else {
                    format!("{scalar} {op} ({left})")
                }
            }
            3 => {
                let op = self.operator();
                let group = self.one_of(&["group_left", "group_left (version)", "group_right"]);
                format!("({left}) {op} on (job, instance) {group} info")
            }
            _ => {
                let op = self.operator();
                let on = self.one_of(&["", "", " on (job, instance)", " ignoring (le)", " on (job)"]);
                format!("({left}) {op}{on} ({})", self.vector(depth - 1))
            }
        }
    }

    fn operator(&mut self) -> &'static str {
        self.one_of(&[
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "== bool", "> bool",
            "<= bool",
        ])
    }

    fn function(&mut self, depth: usize) -> String {
        let inner = self.vector(depth - 1);
        match self.random.u8(..12) {
            0 => format!("clamp({inner}, {}, {})", self.scalar(1), self.scalar(1)),
            1 => format!("round({inner}, {})", self.scalar(1)),
            2 => format!("histogram_quantile({}, rate(lat_bucket[{}]))", self.scalar(1), self.range()),
            3 => format!("histogram_quantile({}, {inner})", self.scalar(1)),
            4 => format!("label_replace({inner}, \"x\", \"$1-$0\", \"job\", \"(.)\")"),
            5 => format!("label_join({inner}, \"x\", \"_\", \"job\", \"instance\")"),
            6 => format!("histogram_fraction(0, 0.7, {inner})"),
            7 => format!("{}({inner}, {})", self.one_of(&["clamp_min", "clamp_max"]), self.scalar(1)),
            _ => {
                let name = self.one_of(&[
                    "abs",
                    "ceil",
                    "floor",
                    "exp",
                    "sqrt",
                    "ln",
                    "log2",
                    "log10",
                    "sgn",
                    "sin",
                    "cos",
                    "tan",
                    "asin",
                    "acosh",
                    "tanh",
                    "deg",
                    "rad",
                    "absent",
                    "timestamp",
                    "sort",
                    "sort_desc",
                    "hour",
                    "minute",
                    "day_of_week",
                    "day_of_month",
                    "day_of_year",
                    "days_in_month",
                    "month",
                    "year",
                    "histogram_count",
                ]);
                format!("{name}({inner})")
            }
        }
    }
}
