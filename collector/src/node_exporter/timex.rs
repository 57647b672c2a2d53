//! The kernel's clock discipline, as adjtimex(2) tells it to anybody.

use super::{Collect, Scrape, rows};
use crate::table::Metric;

/// Parts per million with a fraction of 16 bits, the kernel's unit of frequencies.
const SCALED_PPM: f64 = 65_536_000_000.0;
const MICROSECONDS: f64 = 1e6;
const NANOSECONDS: f64 = 1e9;
/// `STA_NANO` of linux/timex.h: offset and jitter are nanoseconds, else microseconds.
const STATUS_NANO: i32 = 0x2000;
/// `TIME_ERROR` of linux/timex.h: the clock is not synchronised.
const STATE_ERROR: i32 = 5;

/// What the kernel says: state of the clock, and the discipline's variables in the kernel's units.
#[derive(Clone, Copy)]
pub struct Discipline {
    state: i32,
    timex: libc::timex,
}

impl Discipline {
    /// Asks the kernel and changes nothing. `None` where a sandbox forbids it.
    #[allow(
        unsafe_code,
        reason = "no library has the call; it fills a structure of plain numbers that is ours"
    )]
    pub fn read() -> Option<Discipline> {
        // SAFETY: all fields are integers, for which zeros are a value. `modes` 0 asks and sets nothing.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a whole structure that lives during the call.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        (state >= 0).then_some(Discipline { state, timex })
    }

    /// The series, in units of the exposition.
    #[allow(clippy::cast_precision_loss, reason = "node_exporter's own conversion")]
    fn values(&self) -> [(&'static Metric, f64); 17] {
        let Discipline { state, timex } = self;
        [
            (&rows::TIMEX_ESTIMATED_ERROR, timex.esterror as f64 / MICROSECONDS),
            (&rows::TIMEX_FREQUENCY_ADJUSTMENT, 1.0 + timex.freq as f64 / SCALED_PPM),
            (&rows::TIMEX_LOOP_TIME_CONSTANT, timex.constant as f64),
            (&rows::TIMEX_MAXERROR, timex.maxerror as f64 / MICROSECONDS),
            (&rows::TIMEX_OFFSET, timex.offset as f64 / self.per_second()),
            (&rows::TIMEX_PPS_CALIBRATION, timex.calcnt as f64),
            (&rows::TIMEX_PPS_ERROR, timex.errcnt as f64),
            (&rows::TIMEX_PPS_FREQUENCY, timex.ppsfreq as f64 / SCALED_PPM),
            (&rows::TIMEX_PPS_JITTER, timex.jitter as f64 / self.per_second()),
            (&rows::TIMEX_PPS_JITTER_TOTAL, timex.jitcnt as f64),
            (&rows::TIMEX_PPS_SHIFT, f64::from(timex.shift)),
            (&rows::TIMEX_PPS_STABILITY_EXCEEDED, timex.stbcnt as f64),
            (&rows::TIMEX_PPS_STABILITY, timex.stabil as f64 / SCALED_PPM),
            (&rows::TIMEX_STATUS, f64::from(timex.status)),
            (&rows::TIMEX_SYNC_STATUS, f64::from(u8::from(*state != STATE_ERROR))),
            (&rows::TIMEX_TAI_OFFSET, f64::from(timex.tai)),
            (&rows::TIMEX_TICK, timex.tick as f64 / MICROSECONDS),
        ]
    }

    /// Units of offset and jitter in a second.
    fn per_second(&self) -> f64 {
        if self.timex.status & STATUS_NANO == 0 { MICROSECONDS } else { NANOSECONDS }
    }
}

/// `timex`
pub struct TimexCollector;

impl Collect for TimexCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        for (row, value) in Discipline::read()?.values() {
            scrape.out.one(row, value);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(discipline: &Discipline, name: &str) -> f64 {
        discipline.values().iter().find(|(row, _)| row.name == name).unwrap().1
    }

    #[test]
    fn units_follow_the_status() {
        let mut discipline = Discipline::read().expect("anybody may ask");
        discipline.timex.offset = -2_500;
        discipline.timex.jitter = 40;
        discipline.timex.status = 1;
        assert_eq!(value(&discipline, "node_timex_offset_seconds"), -0.0025);
        assert_eq!(value(&discipline, "node_timex_pps_jitter_seconds"), 0.00004);
        discipline.timex.status |= STATUS_NANO;
        assert_eq!(value(&discipline, "node_timex_offset_seconds"), -0.000_002_5);
        assert_eq!(value(&discipline, "node_timex_status"), 8_193.0);
    }

    #[test]
    fn frequencies_are_scaled_parts_per_million() {
        let mut discipline = Discipline::read().expect("anybody may ask");
        discipline.timex.freq = 65_536 * 500;
        discipline.timex.tick = 10_000;
        assert!((value(&discipline, "node_timex_frequency_adjustment_ratio") - 1.0005).abs() < 1e-12);
        assert_eq!(value(&discipline, "node_timex_tick_seconds"), 0.01);
    }

    #[test]
    fn only_the_state_of_error_is_not_in_sync() {
        let mut discipline = Discipline::read().expect("anybody may ask");
        for (state, synchronised) in [(0, 1.0), (1, 1.0), (4, 1.0), (STATE_ERROR, 0.0)] {
            discipline.state = state;
            assert_eq!(value(&discipline, "node_timex_sync_status"), synchronised);
        }
    }
}
