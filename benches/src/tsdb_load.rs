//! The load of the store's figures: the mix of series of the reference, and label sets as a cluster has them.

use flyball_model::labels::Labels;

/// Interval of the samples.
pub const STEP_MS: i64 = 15_000;

/// How a series moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Never.
    Constant,
    /// Up by a small whole number.
    IntegerCounter,
    /// Up by a float with all its bits.
    FloatCounter,
    /// Around, with two digits after the point.
    TwoDecimals,
    /// Seldom, by a whole number.
    Steps,
}

/// All kinds with their share of ten series.
pub const MIX: [(Kind, u32); 5] = [
    (Kind::Constant, 4),
    (Kind::IntegerCounter, 3),
    (Kind::FloatCounter, 1),
    (Kind::TwoDecimals, 1),
    (Kind::Steps, 1),
];

/// One series that moves.
#[derive(Debug, Clone)]
pub struct Walk {
    kind: Kind,
    value: f64,
    random: fastrand::Rng,
}

impl Walk {
    /// The `number`th series of the mix.
    #[must_use]
    pub fn new(number: u32) -> Walk {
        let mut place = number % 10;
        let kind = MIX.iter().find(|(_, share)| {
            let found = place < *share;
            place = place.saturating_sub(*share);
            found
        });
        Walk::of(kind.map_or(Kind::Constant, |(kind, _)| *kind), number)
    }

    /// A series of one kind.
    #[must_use]
    pub fn of(kind: Kind, seed: u32) -> Walk {
        let mut random = fastrand::Rng::with_seed(u64::from(seed) + 1);
        let value = match kind {
            Kind::Constant | Kind::Steps => f64::from(random.u32(0..100)),
            Kind::IntegerCounter => f64::from(random.u32(0..1_000_000)),
            Kind::FloatCounter => 0.0,
            Kind::TwoDecimals => 50.0,
        };
        Walk { kind, value, random }
    }

    /// The next value.
    pub fn next_value(&mut self) -> f64 {
        match self.kind {
            Kind::Constant => {}
            Kind::IntegerCounter => self.value += f64::from(self.random.u32(0..100)),
            Kind::FloatCounter => self.value += self.random.f64() * 10.0,
            Kind::TwoDecimals => {
                let change = f64::from(self.random.i32(-500..=500)) / 100.0;
                self.value = ((self.value + change).clamp(0.0, 1000.0) * 100.0).round() / 100.0;
            }
            Kind::Steps => {
                if self.random.u32(0..30) == 0 {
                    self.value += f64::from(self.random.i32(-3..=3));
                }
            }
        }
        self.value
    }
}

/// Labels of the `number`th series: fifty metrics of each container, as cAdvisor has them, a hundred pods a namespace.
///
/// # Panics
/// Never: the pairs are a set of labels.
#[must_use]
pub fn labels(number: u32) -> Labels {
    let (metric, pod) = (number % 50, number / 50);
    let pairs = [
        ("__name__", format!("container_metric_{metric:02}_total")),
        ("container", "app".to_owned()),
        ("id", format!("/kubepods/burstable/pod{pod:08x}-5c2e-4f7b-9d11-0242ac120002/{pod:016x}")),
        ("image", format!("registry.example.com/team/app:{}", pod % 20)),
        ("instance", format!("10.0.{}.{}:4194", pod / 30 / 250, pod / 30 % 250)),
        ("job", "collector".to_owned()),
        ("namespace", format!("ns-{}", pod / 100)),
        ("node", format!("node-{}", pod / 30)),
        ("pod", format!("app-{}-6d4cf56db6-{:05x}", pod / 10, pod)),
    ];
    Labels::from_pairs(pairs).expect("a set of labels")
}

/// Labels of the `number`th series of one metric of an application: a thousand pods, fifty series each.
///
/// # Panics
/// Never: the pairs are a set of labels.
#[must_use]
pub fn request_labels(number: u32) -> Labels {
    let (series, pod) = (number % 50, number / 50);
    let pairs = [
        ("__name__", "http_requests_total".to_owned()),
        ("code", ["200", "201", "404", "500", "503"][series as usize % 5].to_owned()),
        ("handler", format!("/api/v1/handler-{}", series / 5)),
        ("instance", format!("10.1.{}.{}:8080", pod / 250, pod % 250)),
        ("job", "app".to_owned()),
        ("namespace", format!("ns-{}", pod / 100)),
        ("pod", format!("app-{}-6d4cf56db6-{:05x}", pod / 10, pod)),
    ];
    Labels::from_pairs(pairs).expect("a set of labels")
}
