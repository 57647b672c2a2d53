//! Exposition text of others, in both formats. What is read is written again and must read the same.

#![no_main]

use flyball_model::exposition::{Event, Format, Reader, SampleRef, Writer};
use libfuzzer_sys::fuzz_target;

fn has_plain_names(sample: &SampleRef<'_>) -> bool {
    let is_plain = |name: &str, more: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || more.as_bytes().contains(&byte))
            && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    is_plain(sample.name, ":") && sample.labels.iter().all(|(name, _)| is_plain(name, ""))
}

fuzz_target!(|text: &str| {
    for format in [Format::Text004, Format::OpenMetrics10] {
        let samples: Vec<_> = Reader::new(text, format)
            .filter_map(|event| match event {
                // Other names can be read, in quotes, but are written as the nearest that needs none.
                Ok(Event::Sample(sample)) if has_plain_names(&sample) => Some(sample),
                _ => None,
            })
            .collect();
        let mut writer = Writer::new(format);
        for sample in &samples {
            let labels: Vec<(&str, &str)> =
                sample.labels.iter().map(|(name, value)| (*name, &**value)).collect();
            writer.sample(sample.name, &labels, sample.value, sample.timestamp_ms);
            let _ = sample.to_owned();
        }
        let written = writer.finish();
        let again: Vec<_> = Reader::new(&written, format)
            .filter_map(|event| match event.unwrap_or_else(|error| panic!("{error}\n{written}")) {
                Event::Sample(sample) => Some(sample),
                _ => None,
            })
            .collect();
        assert_eq!(samples.len(), again.len());
        for (one, other) in samples.iter().zip(&again) {
            assert_eq!(
                (one.name, &one.labels, one.timestamp_ms),
                (other.name, &other.labels, other.timestamp_ms)
            );
            assert!(one.value == other.value || one.value.is_nan() && other.value.is_nan());
        }
    }
});
