//! Values in the few bytes in which they are kept, and what that costs in precision.

/// Nanocores of one step of [`CpuRate`] near zero.
const STEP_NANOCORES: u64 = 1_000;
/// Bits of the mantissa of [`CpuRate`].
const MANTISSA_BITS: u32 = 10;
/// Largest exponent of [`CpuRate`]; reached at 10^12 cores.
const EXPONENT_LIMIT: u32 = 50;
/// Bytes of one step of [`Pages`].
pub const PAGE_BYTES: u64 = 4_096;

/// A CPU rate in 16 bits: within half a microcore up to 2 millicores, within 0.05 % beyond.
///
/// Below 1,024 microcores the number itself; else a floating-point number of microcores without sign, six bits of
/// exponent and ten of mantissa.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuRate(pub(super) u16);

impl CpuRate {
    /// The nearest rate.
    pub fn from_nanocores(nanocores: u64) -> CpuRate {
        let steps = nanocores / STEP_NANOCORES + u64::from(nanocores % STEP_NANOCORES >= STEP_NANOCORES / 2);
        if steps < 1 << MANTISSA_BITS {
            return CpuRate(steps as u16);
        }
        let exponent = (steps.ilog2() - MANTISSA_BITS).min(EXPONENT_LIMIT);
        let half = (1_u64 << exponent) >> 1;
        let mantissa = (steps.saturating_add(half) >> exponent) - (1 << MANTISSA_BITS);
        // Rounding up may carry into the exponent, which gives just the next number.
        CpuRate((((u64::from(exponent) + 1) << MANTISSA_BITS) + mantissa) as u16)
    }

    /// In billionths of a core.
    pub fn nanocores(self) -> u64 {
        let (exponent, mantissa) = (u32::from(self.0) >> MANTISSA_BITS, u64::from(self.0) & 0x3ff);
        let steps = match exponent {
            0 => mantissa,
            _ => (mantissa | 1 << MANTISSA_BITS) << (exponent - 1).min(EXPONENT_LIMIT),
        };
        steps.saturating_mul(STEP_NANOCORES)
    }
}

/// Memory in pages of 4 KiB, the unit in which kernels account it: exact for theirs, within half a page for others.
/// At most 16 TiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pages(pub(super) u32);

impl Pages {
    /// The nearest number of pages.
    pub fn from_bytes(bytes: u64) -> Pages {
        let pages = bytes.saturating_add(PAGE_BYTES / 2) / PAGE_BYTES;
        Pages(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * PAGE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_by_example() {
        for (nanocores, expected) in [
            (0, 0),
            (499, 0),
            (500, 1_000),
            (1_023_000, 1_023_000),
            (1_024_000, 1_024_000),
            (2_047_000, 2_047_000),
            (2_049_000, 2_050_000),
            (1_000_000_000, 999_936_000),
            (64_000_000_000, 63_995_904_000),
        ] {
            assert_eq!(CpuRate::from_nanocores(nanocores).nanocores(), expected, "{nanocores}");
        }
        assert!(CpuRate::from_nanocores(u64::MAX).nanocores() > u64::MAX / 2);
    }

    proptest! {
        #[test]
        fn a_rate_comes_back_within_the_promise(nanocores in 0_u64..1 << 62) {
            let back = CpuRate::from_nanocores(nanocores).nanocores();
            let error = back.abs_diff(nanocores);
            prop_assert!(error <= 500 || error as f64 <= nanocores as f64 * 0.000_5 + 500.0, "{nanocores} {back}");
        }

        #[test]
        fn greater_rates_stay_greater(a in 0_u64..1 << 50, b in 0_u64..1 << 50) {
            let order = a.cmp(&b);
            let kept = CpuRate::from_nanocores(a).cmp(&CpuRate::from_nanocores(b));
            prop_assert!(kept == order || kept.is_eq());
        }

        #[test]
        fn whole_pages_are_exact(pages in any::<u32>()) {
            let bytes = u64::from(pages) * PAGE_BYTES;
            prop_assert_eq!(Pages::from_bytes(bytes).bytes(), bytes);
        }
    }
}
