//! The decision by criterion: 100 and 1,000 pods.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, criterion_group, criterion_main};
use flyball_benches::decision::Case;

fn decide(criterion: &mut Criterion) {
    for pods in [100, 1_000] {
        let case = Case::new(pods);
        criterion.bench_function(&format!("decide/{pods}_pods"), |bencher| bencher.iter(|| case.decide()));
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
