//! A copy of all series as of one moment, taken while events go on.
//!
//! Whoever changes a shard first copies it if the checkpoint under way has not got it yet. So each shard is copied once,
//! as it was when the checkpoint began, and nobody waits for more than the copy of one shard. The caller sees to it that
//! no event is half way through the windows when it begins.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::chunk::Record;
use super::store::{SHARDS, Shard, Windows};
use crate::wire::{Put, Take};

/// A checkpoint under way.
pub struct Checkpoint<'a> {
    windows: &'a Windows,
    number: u64,
}

/// Why bytes are not a checkpoint of these windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("it was made with other windows")]
    OtherPlan,
    #[error("it is damaged")]
    Damaged,
}

impl Windows {
    /// Begins a checkpoint: everything observed until now is in it, and nothing later. One at a time.
    pub fn begin_checkpoint(&self) -> Checkpoint<'_> {
        Checkpoint { windows: self, number: self.checkpoint.fetch_add(1, AcqRel) + 1 }
    }

    /// Copies the shard if the checkpoint under way needs it as it is now.
    pub(super) fn save_before_change(&self, shard: &mut Shard) {
        let under_way = self.checkpoint.load(Acquire);
        if shard.saved < under_way {
            shard.saved = under_way;
            shard.pending = Some(self.encode(shard));
        }
    }

    fn encode(&self, shard: &Shard) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.plan.fingerprint);
        shard.lost_ms.iter().for_each(|ms| out.put_i64(*ms));
        shard.for_each(|(number, key), series| {
            let plan = &self.plan.keys[number as usize];
            out.put_u32(number);
            out.put_u64(key);
            out.put_i64(series.complete_since_ms);
            out.put_u32(series.events() as u32);
            series.for_each(plan, |record| {
                out.put_i64(record.at_ms);
                out.put_u8(record.outcome);
                out.put_u8(record.currency);
                record.values.iter().for_each(|value| out.put_i64(*value));
            });
        });
        out
    }

    /// Puts back what [`Checkpoint::shard`] gave, into windows that have observed nothing yet. Events beyond the bounds
    /// of today are evicted.
    pub fn restore(&self, shard: usize, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut fields = Take(bytes);
        if fields.u64().ok_or(RestoreError::Damaged)? != self.plan.fingerprint {
            return Err(RestoreError::OtherPlan);
        }
        let mut shard = self.lock(shard % SHARDS);
        self.decode(&mut shard, fields).ok_or(RestoreError::Damaged)
    }

    fn decode(&self, shard: &mut Shard, mut fields: Take) -> Option<()> {
        for lost_ms in &mut shard.lost_ms {
            *lost_ms = fields.i64()?;
        }
        let mut values = Vec::new();
        while !fields.0.is_empty() {
            let (number, key) = (fields.u32()?, fields.u64()?);
            let plan = self.plan.keys.get(number as usize)?;
            let at = shard.series((number, key));
            let complete_since_ms = fields.i64()?;
            shard.change(at, |series| series.complete_since_ms = complete_since_ms);
            for _ in 0..fields.u32()? {
                let (at_ms, outcome, currency) = (fields.i64()?, fields.u8()?, fields.u8()?);
                values.clear();
                for _ in 0..plan.columns.len() {
                    values.push(fields.i64()?);
                }
                if !(0..=i64::from(u32::MAX) * 1_000).contains(&at_ms) {
                    return None;
                }
                let record = Record { at_ms, outcome: outcome & 0xf, currency, values: &values };
                shard.change(at, |series| series.insert(plan, &record));
            }
            shard.keep_below(self.max_shard_bytes(), at);
        }
        Some(())
    }
}

impl Checkpoint<'_> {
    /// The copy of one shard. Each is to be asked for once.
    pub fn shard(&self, number: usize) -> Vec<u8> {
        let mut shard = self.windows.lock(number % SHARDS);
        self.windows.save_before_change(&mut shard);
        debug_assert_eq!(shard.saved, self.number, "one checkpoint at a time");
        shard.pending.take().unwrap_or_default()
    }
}
