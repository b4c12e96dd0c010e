//! All that an engine holds, as parts: what a start puts back instead of folding the log from its beginning.
//!
//! A checkpoint is made when nothing is under way: what it holds is then the fold of the log up to an offset. Engines that
//! folded the same events have the same parts, whichever of them began with a checkpoint.

use std::collections::BTreeMap;

use super::edits::Edits;
use super::engine::{Engine, add_names};
use super::lists::List;
use crate::clock::UnixMs;
use crate::scoring::hash::hash64;
use crate::wire::{Put, Take};

/// Its last byte is another where windows have other keys for the same checks.
const MAGIC: u64 = 0x6761_7665_6c66_6302;

/// What a checkpoint was made at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The first event that is not in it.
    pub next: u64,
    /// The time of the event before: another log's is another.
    pub last_at: UnixMs,
}

impl Engine {
    /// None while a check was decided that the log does not have.
    pub fn checkpoint(&self, moment: Moment) -> Option<impl Iterator<Item = Vec<u8>> + '_> {
        if !self.store.is_written() {
            return None;
        }
        let at = moment.last_at;
        let stored = (0..self.store.shards()).map(move |number| self.store.shard_part(number, at));
        let windows = (0..self.velocity.shards()).map(move |number| self.velocity.shard_part(number, at));
        Some(std::iter::once(self.head(moment)?).chain(stored).chain(windows))
    }

    fn head(&self, moment: Moment) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        head.put_u64(MAGIC);
        head.put_u64(self.terms());
        head.put_u64(moment.next);
        head.put_i64(moment.last_at.0);
        head.put_i64(self.store.forgotten_to_ms());
        head.put_i64(self.velocity.unsure_to_ms());
        let names = self.names();
        head.put_u32(names.len() as u32);
        // In order: equal engines have equal checkpoints.
        for (fingerprint, names) in names.iter().collect::<BTreeMap<_, _>>() {
            head.put_u64(*fingerprint);
            head.put_u32(names.len() as u32);
            names.iter().for_each(|name| head.put_bytes(name.as_bytes()));
        }
        let edits = self.edits();
        for rules in [&edits.rules, &edits.file_rules] {
            head.put_u8(u8::from(rules.is_some()));
            head.put_bytes(rules.as_deref().unwrap_or_default().as_bytes());
        }
        head.put_u32(edits.lists.len() as u32);
        for (name, list) in &edits.lists {
            head.put_bytes(name.as_bytes());
            head.put_bytes(&serde_json::to_vec(&list.content_at(moment.last_at)).ok()?);
        }
        Some(head)
    }

    /// What a checkpoint's values depend on besides the log: with other windows or bounds it is of no use.
    fn terms(&self) -> u64 {
        let bounds = (self.velocity.limits(), self.store.bounds().max_checks);
        let bounds = format!("{:?} {bounds:?}", self.velocity.declared());
        hash64(MAGIC, bounds.as_bytes())
    }

    /// What a checkpoint's first part says, if it is of an engine like this.
    pub fn moment_of(&self, head: &[u8]) -> Option<Moment> {
        let mut fields = Take(head);
        if (fields.u64()?, fields.u64()?) != (MAGIC, self.terms()) {
            return None;
        }
        Some(Moment { next: fields.u64()?, last_at: UnixMs(fields.i64()?) })
    }

    /// Puts parts back, in order, into an engine that knows nothing yet. If this fails it is of no use any more.
    pub fn restore_parts(&self, parts: &mut dyn Iterator<Item = Vec<u8>>) -> Option<Moment> {
        let head = parts.next()?;
        let moment = self.moment_of(&head)?;
        self.restore_head(&head, moment.last_at)?;
        let stored = self.store.shards();
        for number in 0..stored + self.velocity.shards() {
            let part = parts.next()?;
            match number.checked_sub(stored) {
                None => self.store.restore_shard(number, &part, moment.last_at)?,
                Some(shard) => self.velocity.restore(shard, &part)?,
            }
        }
        parts.next().is_none().then_some(moment)
    }

    fn restore_head(&self, head: &[u8], now: UnixMs) -> Option<()> {
        let mut fields = Take(head);
        (0..4).try_for_each(|_| fields.u64().map(drop))?;
        self.store.forgot(fields.i64()?);
        self.velocity.note_unknown_label(fields.i64()?);
        for _ in 0..fields.u32()? {
            let fingerprint = fields.u64()?;
            let names: Vec<String> = (0..fields.u32()?).map(|_| fields.string()).collect::<Option<_>>()?;
            add_names(self, fingerprint, &names);
        }
        let mut rules = || {
            let is_there = fields.u8()? != 0;
            Some(Some(fields.string()?).filter(|_| is_there))
        };
        let mut edits = Edits { rules: rules()?, file_rules: rules()?, ..Edits::default() };
        for _ in 0..fields.u32()? {
            let name = fields.string()?;
            let content = serde_json::from_slice(fields.bytes()?).ok()?;
            edits.lists.insert(name, List::of(&content, now)?.into());
        }
        *self.edits() = edits;
        fields.0.is_empty().then_some(())
    }
}
