//! Reads everything that is kept, says exactly what is lost, and mends what can be mended.

use super::recover::{LOG_END, describe, hex, lost_by};
use super::{Store, StoreError, lock, newer_block, place_of};
use crate::block::reader::BlockError;
use crate::disk::{DiskError, Write};
use crate::frame;
use crate::log;

/// Something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood.
    pub place: String,
    /// What is lost.
    pub lost: String,
    /// What was done about it; `None` when nothing was to be done.
    pub repair: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Blocks read.
    pub blocks: usize,
    /// Samples in sound blocks.
    pub samples: u64,
    /// Values of the log read.
    pub log_values: usize,
    /// What is lost.
    pub losses: Vec<Loss>,
}

impl Store {
    /// Reads all blocks and the log. With `repair`, a damaged block is written anew from what is good of it, one that cannot
    /// be opened is set aside, and damaged values leave the log.
    ///
    /// # Errors
    /// The disk fails; damage is no error.
    pub fn check(&self, repair: bool) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        for (place, lost) in &*lock(&self.damage) {
            report.losses.push(Loss { place: place.clone(), lost: lost.clone(), repair: None });
        }
        self.check_log(repair, &mut report)?;
        let _turn = lock(&self.maintenance);
        for (name, meta) in self.block_metas() {
            report.blocks += 1;
            let place = place_of(name);
            match self.open_block(name) {
                Ok(block) => {
                    let sound = *block.meta() == meta && block.verify()?;
                    if sound {
                        report.samples += meta.samples;
                        continue;
                    }
                    let damage = block.damage().join("; ");
                    drop(block);
                    let (lost, repair) = self.repair_block(name, meta.samples, repair)?;
                    report.losses.push(Loss { place, lost: format!("{lost} ({damage})"), repair });
                }
                Err(BlockError::Disk(error @ DiskError::Io(_))) => return Err(error.into()),
                // Nothing is wrong with it: it is for another program.
                Err(BlockError::Newer(version)) => return Err(newer_block(name, version).into()),
                Err(error) => {
                    let repair = match repair {
                        true => Some(format!("moved to {}", self.give_up_block(name)?)),
                        false => None,
                    };
                    report.losses.push(Loss {
                        place,
                        lost: format!("{} ({error})", describe(&meta)),
                        repair,
                    });
                }
            }
        }
        Ok(report)
    }

    fn check_log(&self, repair: bool, report: &mut CheckReport) -> Result<(), StoreError> {
        let mut broken = Vec::new();
        self.disk.scan(&[], &mut |key, value| {
            report.log_values += 1;
            if frame::open(key, value).is_err() {
                broken.push(key.to_vec());
            }
        })?;
        if repair {
            // From now on the log ends where it ends.
            self.disk.acknowledge(self.writer().next_sequence);
            for loss in report.losses.iter_mut().filter(|loss| loss.place == LOG_END) {
                loss.repair = Some("noted".to_owned());
            }
        }
        if repair && !broken.is_empty() {
            let writes: Vec<Write> = broken.iter().cloned().map(Write::Remove).collect();
            self.disk.write(&writes)?;
        }
        for key in broken {
            let place = hex(&key);
            report.losses.retain(|loss| loss.place != place);
            let repair = repair.then(|| "removed".to_owned());
            report.losses.push(Loss { place, lost: lost_by(&key), repair });
        }
        Ok(())
    }

    /// Writes a block anew from what can be read of it.
    fn repair_block(
        &self,
        name: u64,
        samples: u64,
        repair: bool,
    ) -> Result<(String, Option<String>), StoreError> {
        if !repair {
            return Ok((format!("some of {samples} samples"), None));
        }
        let kept = self.merge(&[name])?.map_or(0, |meta| meta.samples);
        Ok((
            format!("{} of {samples} samples", samples.saturating_sub(kept)),
            Some("written anew without it".to_owned()),
        ))
    }

    fn give_up_block(&self, name: u64) -> Result<String, StoreError> {
        let _writer = self.writer();
        self.disk.write(&[Write::Remove(log::block_key(name))])?;
        self.with_blocks(|blocks| blocks.remove(&name));
        self.close_block(name);
        Ok(self.disk.set_aside_block(name)?)
    }
}
