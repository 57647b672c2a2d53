//! What the log holds comes back into memory, and what nobody owns is removed.

use std::collections::{BTreeMap, HashMap};

use super::{Store, StoreError, Writer, newer_block, place_of};
use crate::block::meta::BlockMeta;
use crate::block::reader::{Block, BlockError};
use crate::disk::DiskError;
use crate::frame::{self, Broken};
use crate::log::{
    self, Checkpoint, KIND_BLOCK, KIND_CHUNKS, KIND_LAST, KIND_SAMPLES, KIND_SERIES, KIND_VOID, PieceKey,
    checkpoint_key,
};

/// Slots of the log to slots of the head, per partition.
type Known = HashMap<u32, Slots>;

/// Where the end of a log stood that lost it.
pub(super) const LOG_END: &str = "the end of the log";

/// More slots than any head has; what names a higher one is damaged.
const SLOT_MAX: u32 = 1 << 26;

/// What the slots of the log stood for, and since when. Nearly every slot stands for one series all the time.
#[derive(Default)]
struct Slots {
    first: Vec<Option<(u64, u32)>>,
    later: HashMap<u32, Vec<(u64, u32)>>,
}

impl Slots {
    /// Notes a definition; they come in order of their sequence.
    fn define(&mut self, slot: u32, sequence: u64, stands_for: u32) -> Option<()> {
        if slot > SLOT_MAX {
            return None;
        }
        let position = slot as usize;
        if self.first.len() <= position {
            self.first.resize(position + 1, None);
        }
        match &mut self.first[position] {
            Some(_) => self.later.entry(slot).or_default().push((sequence, stands_for)),
            first => *first = Some((sequence, stands_for)),
        }
        Some(())
    }

    /// The head's slot that a slot of the log stood for at a time: that of the newest definition up to then.
    fn current(&self, slot: u32, sequence: u64) -> Option<u32> {
        if !self.later.is_empty()
            && let Some(later) = self.later.get(&slot)
            && let Some(&(_, found)) = later.iter().rev().find(|(since, _)| *since <= sequence)
        {
            return Some(found);
        }
        let &(since, found) = self.first.get(slot as usize)?.as_ref()?;
        (since <= sequence).then_some(found)
    }
}

impl Store {
    /// Reads markers, definitions, chunks and samples, in this order.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if let Some(loss) = self.disk.opened_with_loss() {
            self.note_damage("the log", loss);
        }
        let lost_end = self.recover_last(&mut writer)?;
        self.recover_blocks(&mut writer, lost_end)?;
        self.remove_void_log(&mut writer)?;
        self.recover_checkpoint(&mut writer)?;
        let known = self.recover_series(&mut writer)?;
        self.recover_chunks(&mut writer, &known)?;
        self.recover_samples(&mut writer, &known)?;
        Ok(())
    }

    /// Visits the sound values of one kind; damaged ones are noted.
    fn scan_kind(
        &self,
        kind: u8,
        mut visit: impl FnMut(&[u8], &[u8]) -> Option<()>,
    ) -> Result<(), StoreError> {
        let mut newer = None;
        self.disk.scan(&[kind], &mut |key, value| match frame::open(key, value) {
            Ok(body) if visit(key, body).is_some() => {}
            Err(Broken::Newer(version)) => newer = Some(version),
            _ => self.note_damage(hex(key), lost_by(key)),
        })?;
        match newer {
            Some(version) => Err(DiskError::Format {
                path: "the log".to_owned(),
                found: format!("format {version}"),
                expected: "format 1 or 2",
            }
            .into()),
            None => Ok(()),
        }
    }

    /// Reads how far the log goes; whether it once went further.
    fn recover_last(&self, writer: &mut Writer) -> Result<bool, StoreError> {
        self.scan_kind(KIND_LAST, |_, body| {
            writer.next_sequence = log::read_last(body)?;
            Some(())
        })?;
        let missing = self.disk.acknowledged().unwrap_or(0).saturating_sub(writer.next_sequence);
        // A log that was moved aside is told already, with everything that was in it.
        if missing > 0 && self.disk.opened_with_loss().is_none() {
            let lost = format!("what was written by the last {missing} flushes and is in no block");
            self.note_damage(LOG_END, lost);
        }
        Ok(missing > 0)
    }

    fn recover_blocks(&self, writer: &mut Writer, lost_end: bool) -> Result<(), StoreError> {
        let mut markers: BTreeMap<u64, BlockMeta> = BTreeMap::new();
        let mut damaged = Vec::new();
        self.disk.scan(&[KIND_BLOCK], &mut |key, value| {
            let Some(block) = log::block_of(key) else { return };
            match frame::open(key, value).ok().and_then(BlockMeta::read) {
                Some(meta) => {
                    markers.insert(block, meta);
                }
                None => damaged.push(block),
            }
        })?;
        let present = self.disk.blocks()?;
        writer.next_block = present.iter().chain(markers.keys()).max().map_or(1, |last| last + 1);
        // A block that is whole is taken up whether its marker is there or not: what it holds may be in the log or in another
        // block, too, and that does no harm, but a marker may be lost. One that is not whole was never finished, unless the
        // log has lost something.
        let lost_log = lost_end || self.disk.opened_with_loss().is_some();
        let mut adopted = Vec::new();
        for &block in &present {
            if markers.contains_key(&block) {
                continue;
            }
            if let Some(meta) = self.whole(block)? {
                adopted.push(log::block_marker(block, &meta));
                markers.insert(block, meta);
            } else if lost_log || damaged.contains(&block) {
                let place = self.disk.set_aside_block(block)?;
                let lost = format!("unfinished or damaged, moved to {place}");
                self.note_damage(place_of(block), lost);
            } else {
                self.disk.remove_block(block)?;
            }
        }
        if !adopted.is_empty() {
            self.disk.write(&adopted)?;
        }
        for (&block, meta) in markers.iter().filter(|(block, _)| !present.contains(block)) {
            self.note_damage(place_of(block), format!("its folder is gone: {}", describe(meta)));
        }
        markers.retain(|block, _| present.contains(block));
        self.with_blocks(|blocks| *blocks = markers);
        Ok(())
    }

    /// What is known of a block without a marker, if it is whole.
    fn whole(&self, block: u64) -> Result<Option<BlockMeta>, StoreError> {
        match self.disk.open_block(block).map_err(BlockError::from).and_then(Block::open) {
            Ok(opened) if opened.verify()? => Ok(Some(*opened.meta())),
            Err(BlockError::Disk(error @ DiskError::Io(_))) => Err(error.into()),
            Err(BlockError::Newer(version)) => Err(newer_block(block, version).into()),
            _ => Ok(None),
        }
    }

    /// Removes what is in a block and was not removed any more.
    fn remove_void_log(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let mut void: Vec<(u32, u64)> = Vec::new();
        self.scan_kind(KIND_VOID, |key, body| {
            void.push(log::read_void(key, body)?);
            Some(())
        })?;
        for (partition, sequence) in void {
            for kind in [KIND_SAMPLES, KIND_SERIES, KIND_CHUNKS] {
                let mut old = Vec::new();
                self.disk.scan(&log::partition_prefix(kind, partition), &mut |key, _| {
                    if PieceKey::read(key).is_some_and(|piece| piece.sequence <= sequence) {
                        old.push(key.to_vec());
                    }
                })?;
                self.disk.remove(&old)?;
            }
            self.disk.remove(&[log::void_key(partition)])?;
            writer.next_sequence = writer.next_sequence.max(sequence);
        }
        Ok(())
    }

    fn recover_checkpoint(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let key = checkpoint_key();
        self.scan_kind(key[0], |_, body| {
            writer.checkpoint = Checkpoint::read(body)?;
            Some(())
        })?;
        writer.next_sequence = writer.next_sequence.max(writer.checkpoint.chunks_to);
        Ok(())
    }

    fn recover_series(&self, writer: &mut Writer) -> Result<Known, StoreError> {
        let mut known = Known::new();
        self.head.with_index(|index| {
            self.scan_kind(KIND_SERIES, |key, body| {
                let piece_key = PieceKey::read(key)?;
                let piece = log::read_series(body)?;
                let symbols: Vec<u32> = piece.texts.iter().map(|text| index.symbols().keep(text)).collect();
                for (slot, source, pairs) in &piece.series {
                    let pairs: Vec<(u32, u32)> = pairs
                        .iter()
                        .map(|&(name, value)| (symbols[name as usize], symbols[value as usize]))
                        .collect();
                    let before = index.count();
                    let series = index.find_or_insert_pairs(&pairs, piece.texts[*source as usize]);
                    if index.count() > before {
                        self.head.make_room(series);
                    }
                    let slots = known.entry(piece_key.partition).or_default();
                    slots.define(*slot, piece_key.sequence, series.slot)?;
                }
                symbols.into_iter().for_each(|symbol| index.symbols().release(symbol));
                writer.series_keys.insert(piece_key);
                writer.next_sequence = writer.next_sequence.max(piece_key.sequence);
                Some(())
            })
        })?;
        Ok(known)
    }

    fn recover_chunks(&self, writer: &mut Writer, known: &Known) -> Result<(), StoreError> {
        let mut unfinished = Vec::new();
        let checkpoint = writer.checkpoint;
        self.scan_kind(KIND_CHUNKS, |key, body| {
            let piece = PieceKey::read(key)?;
            if piece.sequence > checkpoint.chunks_to {
                unfinished.push(key.to_vec());
                return Some(());
            }
            writer.chunk_keys.insert(piece);
            writer.partitions.insert(piece.partition);
            let slots = known.get(&piece.partition);
            log::read_chunks(body, |slot, first_ms, last_ms, bytes| {
                if let Some(slot) = slots.and_then(|slots| slots.current(slot, piece.sequence)) {
                    self.head.restore(slot, first_ms, last_ms, bytes);
                }
            })
        })?;
        Ok(self.disk.remove(&unfinished)?)
    }

    fn recover_samples(&self, writer: &mut Writer, known: &Known) -> Result<(), StoreError> {
        let mut old = Vec::new();
        let checkpoint = writer.checkpoint;
        self.scan_kind(KIND_SAMPLES, |key, body| {
            let piece = PieceKey::read(key)?;
            if piece.sequence <= checkpoint.samples_to {
                old.push(key.to_vec());
                return Some(());
            }
            writer.sample_keys.insert(piece);
            writer.partitions.insert(piece.partition);
            writer.next_sequence = writer.next_sequence.max(piece.sequence);
            let slots = known.get(&piece.partition);
            let mut cursor = self.head.cursor();
            log::read_samples(body, |sample| {
                writer.samples_since_checkpoint += 1;
                // A sample without a definition went into a block before the crash, and its definition with it.
                if let Some(slot) = slots.and_then(|slots| slots.current(sample.slot, piece.sequence)) {
                    cursor.replay(slot, sample.point);
                }
            })
        })?;
        Ok(self.disk.remove(&old)?)
    }
}

pub(super) fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a block held, in words.
pub(super) fn describe(meta: &BlockMeta) -> String {
    format!(
        "{} samples of {} series from {} to {} (Unix milliseconds)",
        meta.samples, meta.series, meta.first_ms, meta.last_ms
    )
}

/// What a damaged value of the log held, in words.
pub(super) fn lost_by(key: &[u8]) -> String {
    let Some(piece) = PieceKey::read(key) else { return "a marker".to_owned() };
    let what = match key.first() {
        Some(&KIND_SAMPLES) => "samples of one flush",
        Some(&KIND_SERIES) => "labels of some series, and with them their samples",
        _ => "chunks of some series",
    };
    let end_ms = crate::head::partition_end_ms(piece.partition);
    format!("{what} in the two hours before {end_ms} (Unix milliseconds)")
}
