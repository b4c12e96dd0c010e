//! All series as bytes, shard by shard, and back.
//!
//! Windows that saw the same events have the same bytes, whether or not they were restored in between: nothing that no window
//! can ask for any more is in them, and keys come in the order in which they were used last, so that those which went quiet
//! go first here and there.

use super::chunk::Record;
use super::store::{SHARDS, Shard, Windows};
use crate::clock::UnixMs;
use crate::wire::{Put, Take};

/// Why bytes are not a checkpoint of these windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("it was made with other windows")]
    OtherPlan,
    #[error("it is damaged")]
    Damaged,
}

impl Windows {
    /// What a shard holds that an event after this time can still ask for.
    pub fn shard_part(&self, number: usize, at: UnixMs) -> Vec<u8> {
        let shard = self.lock(number % SHARDS);
        let closed_ms = at.0.saturating_sub(self.limits().late_ms);
        let mut out = Vec::new();
        out.put_u64(self.plan.fingerprint);
        shard.lost_ms.iter().for_each(|ms| out.put_i64(*ms));
        for ((number, key), series) in shard.by_use() {
            let plan = &self.plan.keys[number as usize];
            let until_ms = closed_ms.saturating_sub(plan.reach_ms());
            let mut events = 0;
            series.for_each(plan, |record| events += u32::from(record.at_ms > until_ms));
            if events == 0 {
                continue;
            }
            out.put_u32(number);
            out.put_u64(key);
            out.put_i64(series.complete_since_ms.max(until_ms));
            out.put_u32(events);
            series.for_each(plan, |record| {
                if record.at_ms > until_ms {
                    out.put_i64(record.at_ms);
                    out.put_u8(record.outcome);
                    out.put_u8(record.currency);
                    record.values.iter().for_each(|value| out.put_i64(*value));
                }
            });
        }
        out
    }

    /// Puts back what [`shard_part`](Self::shard_part) gave, into windows that have observed nothing yet. Events beyond the bounds
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
