//! A column of small numbers: each is written as the class of its length (a Huffman code made for this column) and its bits
//! below the highest one; runs of zeros have classes of their own.
//!
//! Promise: any numbers come back, at about their entropy when their magnitudes are alike. Bytes are drawn in
//! `docs/storage-format.md`.

use super::bits::{BitReader, BitWriter, WINDOW_BITS};

/// Classes 0 to 64 are the lengths of a number in bits.
const LENGTH_CLASSES: usize = 65;

/// Class 64 + k is a run of 2^k to 2^(k+1) - 1 zeros.
const RUN_CLASS_BASE: usize = 64;

/// Longest run has `2^(RUN_BITS_MAX + 1) - 1` zeros, more than a chunk holds.
const RUN_BITS_MAX: usize = 15;

const CLASSES: usize = LENGTH_CLASSES + RUN_BITS_MAX;

/// Longest code, which bounds the table a reader builds.
const CODE_BITS_MAX: u32 = 10;

/// Bits in which a class is named, and its code's length.
const CLASS_BITS: u32 = 7;
const LENGTH_BITS: u32 = 4;

/// One class and the bits that follow its code.
#[derive(Clone, Copy)]
struct Token {
    class: u8,
    extra_bits: u32,
    extra: u64,
}

fn number(value: u64) -> Token {
    let class = 64 - value.leading_zeros();
    let extra_bits = class.saturating_sub(1);
    Token { class: class as u8, extra_bits, extra: value }
}

fn zeros(run: usize) -> Token {
    let log = run.ilog2();
    Token { class: (RUN_CLASS_BASE + log as usize) as u8, extra_bits: log, extra: run as u64 }
}

/// Calls `visit` with the tokens of some numbers.
#[inline]
fn tokens(numbers: impl Iterator<Item = u64>, mut visit: impl FnMut(Token)) {
    let mut run = 0usize;
    for value in numbers {
        if value == 0 && run < (1 << RUN_BITS_MAX) {
            run += 1;
            continue;
        }
        if run > 0 {
            visit_zeros(std::mem::take(&mut run), &mut visit);
        }
        visit(number(value));
    }
    visit_zeros(run, &mut visit);
}

fn visit_zeros(run: usize, visit: &mut impl FnMut(Token)) {
    match run {
        0 => {}
        1 => visit(number(0)),
        _ => visit(zeros(run)),
    }
}

/// A column that was counted and not yet written.
pub(crate) struct Column<N> {
    numbers: N,
    counts: [u32; CLASSES],
}

impl<N: Iterator<Item = u64> + Clone> Column<N> {
    /// Counts a column of numbers.
    pub(crate) fn new(numbers: N) -> Column<N> {
        let mut counts = [0; CLASSES];
        tokens(numbers.clone(), |token| counts[usize::from(token.class)] += 1);
        Column { numbers, counts }
    }

    /// About how many bits the column takes.
    pub(crate) fn cost_bits(&self) -> u64 {
        let total = self.counts.iter().sum::<u32>() as f32;
        let used = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        let bits = used.map(|(class, &count)| {
            let extra = if class < LENGTH_CLASSES { class.saturating_sub(1) } else { class - RUN_CLASS_BASE };
            let code = (total / count as f32).log2();
            (CLASS_BITS + LENGTH_BITS) as f32 + count as f32 * (code + extra as f32)
        });
        bits.sum::<f32>() as u64
    }

    /// Appends the column.
    pub(crate) fn write(&self, bytes: Vec<u8>) -> Vec<u8> {
        let lengths = code_lengths(&self.counts);
        let codes = canonical_codes(&lengths);
        let mut bits = BitWriter::after(bytes);
        let used = self.counts.iter().filter(|&&count| count > 0).count();
        bits.write(used as u64, CLASS_BITS);
        for (class, _) in self.counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            bits.write(class as u64, CLASS_BITS);
            bits.write(u64::from(lengths[class]), LENGTH_BITS);
        }
        tokens(self.numbers.clone(), |token| {
            let class = usize::from(token.class);
            bits.write(u64::from(codes[class]), lengths[class]);
            bits.write(token.extra, token.extra_bits);
        });
        bits.into_bytes()
    }
}

/// Calls `visit` with each of the first `wanted` of `count` numbers; `None` when the bytes are no such column, which may
/// turn out at the end.
pub(crate) fn each(bytes: &[u8], count: usize, wanted: usize, mut visit: impl FnMut(u64)) -> Option<()> {
    let mut bits = BitReader::new(bytes);
    let table = Table::read(&mut bits)?;
    let mut left = wanted.min(count);
    // A run may go on behind what is wanted.
    let behind = count - left;
    // What was looked at stands in the window, left-aligned; `taken` bits of it are gone.
    let (mut window, mut taken) = (bits.window(), 0);
    while left > 0 {
        if taken + CODE_BITS_MAX > WINDOW_BITS {
            bits.skip(std::mem::take(&mut taken))?;
            window = bits.window();
        }
        let (class, length) = table.entries[(window >> (64 - table.bits)) as usize];
        let (class, length) = (usize::from(class), u32::from(length));
        let extra = match class {
            // The highest bit is the class itself.
            0..LENGTH_CLASSES => (class as u32).saturating_sub(1),
            LENGTH_CLASSES..CLASSES => (class - RUN_CLASS_BASE) as u32,
            _ => return None,
        };
        let below = if taken + length + extra <= WINDOW_BITS {
            let below = (window << length).checked_shr(64 - extra).unwrap_or(0);
            window <<= length + extra;
            taken += length + extra;
            below
        } else {
            bits.skip(std::mem::take(&mut taken) + length)?;
            let below = bits.read(extra)?;
            window = bits.window();
            below
        };
        if class < LENGTH_CLASSES {
            visit(u64::from(class != 0) << extra | below);
            left -= 1;
        } else {
            let run = (1usize << extra) | below as usize;
            if run > left + behind {
                return None;
            }
            let run = run.min(left);
            (0..run).for_each(|_| visit(0));
            left -= run;
        }
    }
    bits.skip(taken)
}

/// For every possible sequence of the next bits: the class, and the length of its code. Those that are no code have no class.
struct Table {
    bits: u32,
    entries: [(u8, u8); 1 << CODE_BITS_MAX],
}

impl Table {
    fn read(bits: &mut BitReader<'_>) -> Option<Table> {
        let used = bits.read(CLASS_BITS)? as usize;
        // Class and length of its code, in order of the classes.
        let mut codes = [(0u8, 0u32); CLASSES];
        let codes = codes.get_mut(..used)?;
        let mut before = None;
        for code in &mut *codes {
            let (class, length) = (bits.read(CLASS_BITS)? as usize, bits.read(LENGTH_BITS)? as u32);
            if class >= CLASSES
                || length > CODE_BITS_MAX
                || (length == 0) != (used == 1)
                || before >= Some(class)
            {
                return None;
            }
            before = Some(class);
            *code = (class as u8, length);
        }
        let mut table = Table { bits: 1, entries: [(u8::MAX, 0); 1 << CODE_BITS_MAX] };
        let longest = codes.iter().map(|&(_, length)| length).max()?;
        if longest == 0 {
            table.entries[..2].fill((codes[0].0, 0));
            return Some(table);
        }
        table.bits = longest;
        // Canonical codes stand in the table in their order: by length, then class.
        let mut from = 0;
        for length in 1..=longest {
            for &(class, _) in codes.iter().filter(|(_, have)| *have == length) {
                let to = from + (1 << (longest - length));
                // A set of lengths that promises more codes than there are is no code.
                if to > 1 << longest {
                    return None;
                }
                table.entries[from..to].fill((class, length as u8));
                from = to;
            }
        }
        Some(table)
    }
}

/// Codes in order of their length, then class.
fn canonical_codes(lengths: &[u32; CLASSES]) -> [u16; CLASSES] {
    let mut codes = [0u16; CLASSES];
    let mut used = [0usize; CLASSES];
    let mut count = 0;
    for class in (0..CLASSES).filter(|&class| lengths[class] > 0) {
        used[count] = class;
        count += 1;
    }
    let mut code = 0u16;
    for length in 1..=CODE_BITS_MAX {
        code <<= 1;
        for &class in used[..count].iter().filter(|&&class| lengths[class] == length) {
            codes[class] = code;
            code += 1;
        }
    }
    codes
}

/// Lengths of a Huffman code, none above [`CODE_BITS_MAX`]; a class that is alone needs no code.
fn code_lengths(counts: &[u32; CLASSES]) -> [u32; CLASSES] {
    let mut weights = *counts;
    loop {
        let lengths = huffman(&weights);
        if lengths.iter().all(|&length| length <= CODE_BITS_MAX) {
            return lengths;
        }
        for weight in weights.iter_mut().filter(|weight| **weight > 0) {
            *weight = *weight / 2 + 1;
        }
    }
}

fn huffman(weights: &[u32; CLASSES]) -> [u32; CLASSES] {
    let mut lengths = [0u32; CLASSES];
    let mut leaves: Vec<(u32, usize)> =
        (0..CLASSES).filter(|&class| weights[class] > 0).map(|class| (weights[class], class)).collect();
    leaves.sort_unstable();
    let leaf_count = leaves.len();
    if leaf_count < 2 {
        return lengths;
    }
    // Two queues: leaves in order of weight, and inner nodes, which come in order of weight by themselves.
    let mut node_weights: Vec<u32> = leaves.iter().map(|&(weight, _)| weight).collect();
    let mut parents = vec![0usize; 2 * leaf_count - 1];
    let (mut leaf, mut inner) = (0, leaf_count);
    for node in leaf_count..2 * leaf_count - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let take_leaf = leaf < leaf_count && (inner >= node || node_weights[leaf] <= node_weights[inner]);
            let taken = if take_leaf { &mut leaf } else { &mut inner };
            parents[*taken] = node;
            weight += node_weights[*taken];
            *taken += 1;
        }
        node_weights.push(weight);
    }
    let mut depths = vec![0u32; 2 * leaf_count - 1];
    for node in (0..2 * leaf_count - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    for (index, &(_, class)) in leaves.iter().enumerate() {
        lengths[class] = depths[index];
    }
    lengths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], count: usize) -> Option<Vec<u64>> {
        let mut numbers = Vec::new();
        each(bytes, count, count, |number| numbers.push(number))?;
        let mut half = Vec::new();
        each(bytes, count, count / 2, |number| half.push(number))?;
        assert_eq!(half, numbers[..count / 2]);
        Some(numbers)
    }

    fn skewed() -> impl Strategy<Value = u64> {
        (0u32..=64, any::<u64>()).prop_map(|(bits, value)| if bits == 0 { 0 } else { value >> (64 - bits) })
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec(prop_oneof![3 => Just(0u64), 2 => skewed(), 3 => 0u64..50], 1..700)) {
            let bytes = Column::new(numbers.iter().copied()).write(Vec::new());
            prop_assert_eq!(read(&bytes, numbers.len()), Some(numbers));
        }

        #[test]
        fn foreign_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..2000) {
            if let Some(numbers) = read(&bytes, count) {
                prop_assert_eq!(numbers.len(), count);
            }
        }
    }

    #[test]
    fn a_very_skewed_column_keeps_its_codes_short() {
        let numbers: Vec<u64> =
            (0..24u32).flat_map(|class| vec![1u64 << class; 1 << (class / 2).min(14)]).collect();
        let column = Column::new(numbers.iter().copied());
        assert!(code_lengths(&column.counts).iter().all(|&length| length <= CODE_BITS_MAX));
        assert_eq!(read(&column.write(Vec::new()), numbers.len()), Some(numbers));
    }
}
