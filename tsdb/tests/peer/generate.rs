//! Queries from one seed: every function, operator and modifier of Prometheus 3 for floats, in every spelling, and slips.

use fastrand::Rng;

#[path = "data.rs"]
mod data;
#[path = "texts.rs"]
mod texts;

pub use data::STEP_MS;

/// A query and when it is asked; a step of 0 is one moment.
#[derive(Debug, Clone)]
pub struct Question {
    pub query: String,
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

/// Makes data and queries.
pub struct Generator {
    random: Rng,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { random: Rng::with_seed(seed) }
    }

    /// A script that loads what the queries ask for.
    pub fn data(&mut self) -> String {
        data::script(&mut self.random)
    }

    pub fn question(&mut self) -> Question {
        let depth = self.random.usize(1..4);
        let mut query = match self.random.u8(..24) {
            0 | 1 => self.scalar(depth),
            2 => self.matrix(depth),
            3 => self.text().into(),
            4..=6 => self.chain(depth),
            _ => self.vector(depth),
        };
        match self.random.u8(..8) {
            // Of equal ones another is chosen: what is left of such a query may have some.
            0 if !query.contains("topk") && !query.contains("bottomk") => {
                query = texts::mistyped(&mut self.random, &query)
            }
            1 => query = texts::respelled(&mut self.random, &query),
            _ => {}
        }
        // A little before the data, in it, and a little behind it.
        let start_ms = self.random.i64(-400..4_300) * 1000 + self.random.i64(0..4) * 250;
        let steps = [1, 250, 1_000, 7_000, 15_000, 60_000, 61_001, 600_000];
        let step_ms = if self.random.bool() { 0 } else { steps[self.random.usize(..steps.len())] };
        Question { query, start_ms, end_ms: start_ms + step_ms * self.random.i64(0..20), step_ms }
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.random.usize(..choices.len())]
    }

    fn selector(&mut self) -> String {
        if self.random.u8(..6) == 0 {
            return self
                .one_of(&[
                    "{__name__=~\"req_total|err_total\"}",
                    "{__name__=~\".+\",job=\"a\"}",
                    "{__name__!~\"info|.*_bucket|odd\",instance=\"1\"}",
                    "{job=\"b\"}",
                    "{\"a.b\"}",
                    "{\"größe\"}",
                    "{\"größe\",\"l.x\"=~\"1|3\"}",
                    "{'a.b',job!=`z`}",
                    "offset",
                    "sum{}",
                    "{\"on\",offset!=\"\"}",
                    "a:b:c",
                    "text",
                    "text{v=\"a\\nb\"}",
                    "text{v=~\"a.b\"}",
                    "text{v=~\"(?i)A.*|日.\"}",
                    "text{v!~`q\"\\\\`}",
                    "twin_total",
                    "{__name__=~\"(req|twin)_total\"}",
                    "odd_bucket",
                    "{__name__=~\"o(dd|ther)_bucket\"}",
                ])
                .into();
        }
        let names =
            ["req_total", "err_total", "gauge", "temp", "lat_bucket", "info", "none", "odd", "odd", "temp"];
        let name = self.one_of(&names);
        let matchers = self.one_of(&[
            "",
            "",
            "",
            "{}",
            "{job=\"a\"}",
            "{job!=\"a\"}",
            "{instance=~\"1|2\",}",
            "{job!~\"b.*\",instance=\"1\"}",
            "{none=\"\"}",
            "{job=~\"a|b\",job!=\"b\"}",
            "{job=\"a\",job=\"b\"}",
            "{instance=~\"[12]?\"}",
            "{\"job\"='c'}",
            "{kind=~\"s.*|constant\"}",
        ]);
        format!("{name}{matchers}")
    }

    fn when(&mut self) -> &'static str {
        if self.random.bool() {
            return "";
        }
        self.one_of(&[
            " offset 1m",
            " offset -30s",
            " offset 1h30m",
            " offset 45",
            " offset -0x10",
            " offset 0.5",
            " @ 1800",
            " @ 1.8e3",
            " @ 1800.123456",
            " @ -5",
            " @ +0x700",
            " @ start()",
            " @ end()",
            " @ end() offset 15s",
            " offset -1m @ start()",
            " offset 5m @ 3000",
        ])
    }

    fn range(&mut self) -> &'static str {
        self.one_of(&texts::RANGES)
    }

    fn text(&mut self) -> &'static str {
        self.one_of(&[
            "\"text\"",
            "'it\\'s'",
            "`raw\\n`",
            "\"\\x41\\101\\u00e4\\U0001F600\\a\\n\"",
            "\"\"",
            "\"日本\"",
            "'\"'",
            "\"\\xff\"",
            "\"\\q\"",
            "\"\\400\"",
        ])
    }

    fn matrix(&mut self, depth: usize) -> String {
        if depth > 1 && self.random.u8(..3) == 0 {
            let (inner, range, when) = (self.vector(depth - 1), self.range(), self.when());
            let step = self.one_of(&["", "10s", "30s", "1m", "7s", "13", "400s", "1h", "0x1e", "2.5"]);
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
            4 if depth > 1 => {
                let op = self.one_of(&["==", "!=", "<", "<=", ">", ">=", "atan2"]);
                let to_bool = if op == "atan2" { "" } else { " bool" };
                format!("({} {op}{to_bool} {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            5 if depth > 1 => {
                format!("{}{}", self.one_of(&["-", "+", "--", "-+"]), self.scalar(depth - 1))
            }
            _ => self.one_of(&texts::NUMBERS).into(),
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
            22 => format!("{}{}", self.one_of(&["-", "+", "- -"]), self.vector(depth - 1)),
            _ => format!("vector({})", self.scalar(depth)),
        }
    }

    /// Operators side by side without parentheses, so that their order of binding counts.
    fn chain(&mut self, depth: usize) -> String {
        let mut out = self.vector(depth - 1);
        for _ in 0..self.random.usize(2..5) {
            let op = match self.random.u8(..4) {
                0 => self.one_of(&["and", "or", "unless", "and ignoring(job)", "or on(job)"]),
                _ => self.operator(),
            };
            let scalar = self.random.bool() && !["and", "or", "unless"].contains(&&op[..op.len().min(6)]);
            let right = if scalar { self.scalar(1) } else { self.vector(0) };
            out = format!("{out} {op} {right}");
        }
        out
    }

    fn over_range(&mut self, depth: usize) -> String {
        let matrix = self.matrix(depth);
        match self.random.u8(..10) {
            0 => format!("quantile_over_time({}, {matrix})", self.scalar(2)),
            1 => format!("predict_linear({matrix}, {})", self.scalar(2)),
            2 => {
                let (level, trend) =
                    (self.one_of(&["0.3", "0.99", "1", "0"]), self.one_of(&["0.7", "0.01", "-1"]));
                format!("double_exponential_smoothing({matrix}, {level}, {trend})")
            }
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
            "by (\"l.x\", \"job\",) ",
            "by (__name__) ",
            "without (job, __name__, le) ",
            "without (kind) ",
        ])
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let (grouping, inner) = (self.grouping(), self.vector(depth - 1));
        // A parameter that reads series with @ moves with the steps of a range in Prometheus.
        // Behind the arguments a grouping means the same.
        let (before, behind) = if self.random.bool() { (grouping, "") } else { ("", grouping) };
        match self.random.u8(..8) {
            // Which of equal ones, and which are first, depends on the order of the store.
            0 => {
                let op = self.one_of(&["topk", "bottomk", "limitk"]);
                let count = self.scalar(1);
                format!("count({op} {before}({count}, {inner}) {behind})")
            }
            1 => {
                // Values that differ have one order only.
                let op = self.one_of(&["topk", "bottomk"]);
                let count =
                    self.one_of(&["1", "2", "3", "100", "0", "-1", "scalar(info{job=\"a\",instance=\"1\"})"]);
                format!("{op} {before}({count}, temp + 0.001 * gauge < 1e9) {behind}")
            }
            2 => format!("quantile {before}({}, {inner}) {behind}", self.scalar(1)),
            3 => {
                let label = self.one_of(&["\"v\"", "\"job\"", "'__name__'", "\"l.x\"", "\"\"", "(`v`)"]);
                format!("count_values {before}({label}, round({inner}, 0.01)) {behind}")
            }
            _ => {
                let ops = ["sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
                let op = self.one_of(&ops);
                format!("{op} {before}({inner}) {behind}")
            }
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let left = self.vector(depth - 1);
        match self.random.u8(..6) {
            0 => {
                let op = self.one_of(&["and", "or", "unless"]);
                let on = self.one_of(&[
                    "",
                    " on (job)",
                    " ignoring (instance)",
                    " on (job, instance)",
                    " on ()",
                    " ignoring (le, kind, \"l.x\")",
                    " on (none)",
                ]);
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
                let group = self.one_of(&[
                    "group_left",
                    "group_left ()",
                    "group_left (version)",
                    "group_left (version, none, le)",
                    "group_right",
                    "group_right (version)",
                    "group_left (job)",
                ]);
                let on =
                    self.one_of(&["on (job, instance)", "ignoring (version, le)", "on (job)", "ignoring ()"]);
                if self.random.bool() {
                    format!("({left}) {op} {on} {group} info")
                } else {
                    format!("info {op} {on} {group} ({left})")
                }
            }
            _ => {
                let op = self.operator();
                let on =
                    self.one_of(&["", "", " on (job, instance)", " ignoring (le)", " on (job)", " on ()"]);
                format!("({left}) {op}{on} ({})", self.vector(depth - 1))
            }
        }
    }

    fn operator(&mut self) -> &'static str {
        self.one_of(&[
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "== bool", "> bool",
            "<= bool", "!= bool", ">= bool", "< bool",
        ])
    }

    fn function(&mut self, depth: usize) -> String {
        let inner = self.vector(depth - 1);
        match self.random.u8(..16) {
            0 => format!("clamp({inner}, {}, {})", self.scalar(2), self.scalar(1)),
            1 => format!("round({inner}, {})", self.scalar(2)),
            2 => {
                let buckets = self.one_of(&["lat_bucket", "odd_bucket", "{__name__=~\".*_bucket\"}"]);
                format!("histogram_quantile({}, rate({buckets}[{}]))", self.scalar(2), self.range())
            }
            3 => format!("histogram_quantile({}, {inner})", self.scalar(1)),
            4 => {
                let buckets = self.one_of(&["lat_bucket", "odd_bucket", "other_bucket", "temp"]);
                let by = self.one_of(&["by (le)", "by (le, job)", "without (instance)", ""]);
                let op = self.one_of(&["sum", "max", "avg"]);
                format!("histogram_quantile({}, {op} {by} ({buckets}))", self.scalar(1))
            }
            5 => {
                let target = self.one_of(&["x", "job", "__name__", "l.x", "le", "", "größe"]);
                let with = self.one_of(&["$1-$0", "${1}x", "$1x", "$$", "", "$2", "a b", "$name", "$"]);
                let source = self.one_of(&["job", "instance", "none", "__name__", "v"]);
                let pattern =
                    self.one_of(&["(.)", "(.*)", "", "(?P<name>a|b)", "x", "(", "(?s:.*)", "[^a]+"]);
                format!("label_replace({inner}, \"{target}\", \"{with}\", \"{source}\", \"{pattern}\")")
            }
            6 => {
                let target = self.one_of(&["x", "job", "__name__", "l.x", ""]);
                let sources = self.one_of(&[
                    "",
                    ", \"job\"",
                    ", \"job\", \"instance\", \"none\"",
                    ", \"\"",
                    ", \"__name__\"",
                ]);
                format!("label_join({inner}, \"{target}\", \"_\"{sources})")
            }
            7 => {
                let buckets = self.one_of(&["lat_bucket", "odd_bucket", "rate(odd_bucket[2m])"]);
                format!("histogram_fraction({}, {}, {buckets})", self.scalar(1), self.scalar(1))
            }
            8 => format!("{}({inner}, {})", self.one_of(&["clamp_min", "clamp_max"]), self.scalar(2)),
            9 => {
                let absent = self.one_of(&[
                    "absent(none{job=\"a\",x!=\"b\",y=~\"c\"})",
                    "absent(none{job=\"a\",job=\"b\"})",
                    "absent(none{job=\"a\"} offset 5m)",
                    "absent((none{job=\"a\"}))",
                    "absent(sum(none{job=\"a\"}))",
                    "absent_over_time(none{job=\"a\",\"l.x\"=\"1\"}[5m])",
                    "absent_over_time(none{job=\"a\"}[5m:1m])",
                    "absent_over_time(sum(none{job=\"a\"})[5m:1m])",
                    "absent({__name__=\"none\",job=\"a\",__name__!=\"x\"})",
                ]);
                absent.into()
            }
            10 => self
                .one_of(&[
                    "minute()",
                    "hour()",
                    "day_of_week()",
                    "day_of_month()",
                    "day_of_year()",
                    "days_in_month()",
                    "month()",
                    "year()",
                    "year(vector(1e9))",
                    "day_of_year(vector(951868800) + gauge * 86400)",
                    "days_in_month(vector(time() * 1000))",
                    "month(-odd)",
                    "timestamp(timestamp(temp))",
                    "timestamp(temp offset 1m)",
                    "timestamp(temp @ 1800)",
                    "timestamp(-temp)",
                    "timestamp((temp))",
                ])
                .into(),
            _ => {
                let name = self.one_of(&FUNCTIONS);
                format!("{name}({inner})")
            }
        }
    }
}

/// Functions of a vector alone.
const FUNCTIONS: [&str; 43] = [
    "abs",
    "ceil",
    "floor",
    "exp",
    "sqrt",
    "ln",
    "log2",
    "log10",
    "sgn",
    "round",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
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
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "histogram_stdvar",
    "scalar",
    "vector",
];
