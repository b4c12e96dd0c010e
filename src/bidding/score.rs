//! Click-priced campaigns: what an impression is worth to them is the price of a click times the rate of clicks that their
//! model predicts. They wait until the cheap filters are through, and are then scored together.

use smallvec::SmallVec;

use super::catalog::Place;
use super::decide::{Ask, Scratch as DecideScratch};
use super::offer::{Formats, Want};
use super::part::Entry;
use super::reason::Reason;
use super::scan::{Best, Candidate};
use super::values::{Lists, Row, Seen, Shown, asks_of_the_user};
use super::work;
use crate::money::{Quantity, Rate};
use crate::openrtb::imp::Imp;
use crate::scoring::sources::Caller;
use crate::scoring::{Artifact, Models};

/// Rows that are scored together: what they are worth may then end the scan.
pub(super) const BATCH: usize = 64;
/// Scores of one request that are told to whoever watches models; more are made and not told.
const MAX_TOLD: usize = 4_096;

/// A worker's buffers for scoring.
#[derive(Debug)]
pub(super) struct Scratch {
    pub waiting: Vec<Waiting>,
    rows: Vec<f64>,
    model: crate::scoring::Scratch,
    /// Nanoseconds of a clock that only goes forward; the core has none.
    pub timer: fn() -> u64,
    /// Who scores next before the other: whoever is first waits for what both then have at hand, and times are compared.
    shadow_first: bool,
    pub told: Told,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            waiting: Vec::new(),
            rows: Vec::new(),
            model: Default::default(),
            timer: || 0,
            shadow_first: false,
            told: Told::default(),
        }
    }
}

/// A creative of a click-priced campaign that only its score is missing of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub place: Place,
    pub creative: u16,
    /// In [`Models`].
    pub model: usize,
    prediction: f64,
}

impl Waiting {
    pub fn new(place: Place, creative: u16, model: usize) -> Waiting {
        Waiting { place, creative, model, prediction: f64::NAN }
    }
}

/// What was scored for one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub batches: Vec<Batch>,
    /// Of the active version, batch after batch.
    pub active: Vec<f64>,
    /// Of the shadow, for the same rows; NaN where there is none.
    pub shadow: Vec<f64>,
}

/// Rows that one model scored together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Batch {
    /// In the snapshot's [`Models`].
    pub model: usize,
    pub rows: usize,
    /// With filling the rows in.
    pub active_ns: u64,
    pub shadow_ns: u64,
}

impl Told {
    fn clear(&mut self) {
        self.batches.clear();
        self.active.clear();
        self.shadow.clear();
    }
}

/// Whether a click rate may come of it.
pub(super) fn predicts_clicks(artifact: &Artifact) -> bool {
    artifact.features.caller() == Caller::Bid && artifact.model.predictions() == 1
}

/// The place of a model that can predict clicks.
pub(super) fn usable(models: &Models, name: &str) -> Option<usize> {
    let (place, set) = models.find(name)?;
    set.active.as_deref().is_some_and(predicts_clicks).then_some(place)
}

impl DecideScratch {
    /// What was scored since this was last cleared.
    pub fn told(&self) -> &Told {
        &self.scoring.told
    }

    pub fn clear_told(&mut self) {
        self.scoring.told.clear();
    }
}

impl Ask<'_, '_> {
    /// Scores what waits and keeps the best of it.
    pub(super) fn settle(
        &self,
        imp: &Imp,
        quantity: Quantity,
        want: &Want,
        formats: &mut Formats,
        scratch: &mut DecideScratch,
        best: &mut Best,
    ) {
        if scratch.scoring.waiting.is_empty() {
            return;
        }
        scratch.work.spend(work::BATCH);
        let mut waiting = std::mem::take(&mut scratch.scoring.waiting);
        let mut models: SmallVec<[usize; 4]> = waiting.iter().map(|row| row.model).collect();
        models.sort_unstable();
        models.dedup();
        for model in models {
            self.score(model, imp, formats, &mut waiting, scratch);
        }
        for rows in waiting.chunk_by(|a, b| a.place == b.place) {
            let found = self.best_creative(rows, imp, quantity, want, scratch, best.stop);
            best.keep(found, scratch);
        }
        waiting.clear();
        scratch.scoring.waiting = waiting;
    }

    /// Fills in the predictions of those that wait for `model`.
    fn score(
        &self,
        model: usize,
        imp: &Imp,
        formats: &mut Formats,
        waiting: &mut [Waiting],
        scratch: &mut DecideScratch,
    ) {
        let snapshot = self.snapshot;
        let set = snapshot.models.at(model);
        let Some(active) = set.active.as_deref() else { return };
        let shadow = set.shadow.as_deref().filter(|shadow| predicts_clicks(shadow));
        let asks =
            asks_of_the_user(&active.features) || shadow.is_some_and(|shadow| asks_of_the_user(&shadow.features));
        let personal = asks && scratch.subject.is_personal(self.request, snapshot.shared.vendor.as_ref());
        let (exchange, request, now) = (&*self.exchange.name, self.request, self.now);
        let seen = Seen { exchange, request, imp, markup: formats.markup(imp), personal, now };
        let scoring = &mut scratch.scoring;
        let rows = waiting.iter().filter(|row| row.model == model).count();
        let told = scoring.told.active.len() + rows <= MAX_TOLD;
        let mut batch = Batch { model, rows, ..Batch::default() };
        scoring.shadow_first ^= shadow.is_some();
        let mut turns = [(Some(active), false), (shadow, true)];
        if scoring.shadow_first {
            turns.reverse();
        }
        for (artifact, is_shadow) in turns {
            let Some(artifact) = artifact else { continue };
            let started = (scoring.timer)();
            predict(artifact, &seen, model, snapshot.catalog.as_ref(), waiting, scoring);
            let took = (scoring.timer)().saturating_sub(started);
            let predictions = scoring.model.predictions();
            if is_shadow {
                batch.shadow_ns = took;
            } else {
                batch.active_ns = took;
                let rows = waiting.iter_mut().filter(|row| row.model == model);
                rows.zip(predictions).for_each(|(row, &prediction)| row.prediction = prediction);
            }
            if told {
                let told = if is_shadow { &mut scoring.told.shadow } else { &mut scoring.told.active };
                told.extend_from_slice(predictions);
            }
        }
        if told {
            scoring.told.shadow.resize(scoring.told.active.len(), f64::NAN);
            scoring.told.batches.push(batch);
        }
    }

    /// Of one campaign's creatives the one that is worth most and keeps the terms; or how far the best came.
    fn best_creative(
        &self,
        rows: &[Waiting],
        imp: &Imp,
        quantity: Quantity,
        want: &Want,
        scratch: &mut DecideScratch,
        stop: i64,
    ) -> Result<Candidate, Reason> {
        let Some(first) = rows.first() else { return Err(Reason::Creative) };
        let entry = self.snapshot.catalog.entry(first.place);
        // One draw for all of them: otherwise more creatives would bid more.
        let draw = scratch.rng.u64(..);
        let (mut best, mut furthest) = (None::<Candidate>, Reason::Prediction);
        // Equal ones take turns.
        let turn = draw as usize % rows.len();
        for row in rows[turn..].iter().chain(&rows[..turn]) {
            match self.priced(row, entry, imp, want, draw, stop) {
                Ok(candidate) if best.is_none_or(|best| candidate.value > best.value) => best = Some(candidate),
                Ok(_) => {}
                Err(reason) => furthest = furthest.max(reason),
            }
        }
        let candidate = best.ok_or(furthest)?;
        self.affordable(entry, candidate.own_price.times(quantity), scratch.hour(first.place, entry).day)?;
        Ok(candidate)
    }

    /// What showing one creative is worth, if that is enough.
    fn priced(
        &self,
        row: &Waiting,
        entry: &Entry,
        imp: &Imp,
        want: &Want,
        draw: u64,
        stop: i64,
    ) -> Result<Candidate, Reason> {
        let (models, compiled) = (&self.snapshot.models, &*entry.compiled);
        let worth = entry.live.price().times_probability(row.prediction).ok_or(Reason::Prediction)?;
        if entry.live.pace.is_paced() {
            entry.live.note_worth(worth);
        }
        let mut own_price = entry.live.pace.bid(worth, &mut fastrand::Rng::with_seed(draw));
        let value = own_price.convert_floor(entry.rate, Rate::USD).0;
        let mut price = own_price.convert_floor(entry.rate, self.rate);
        let at = usize::from(row.creative);
        self.keeps_terms(&compiled.creatives[at], imp, price, want)?;
        if value < stop {
            return Err(Reason::Outbid);
        }
        self.at_fixed_price(imp, want, entry, row.creative, &mut price, &mut own_price);
        let model = models.at(row.model).active.as_ref().map_or(0, |active| active.id);
        let deal = want.deal.as_ref().map(|deal| deal.position as u16);
        Ok(Candidate { place: row.place, value, price, own_price, creative: row.creative, deal, model })
    }
}

/// Scores the rows that wait for `model` into the scratch.
fn predict(
    artifact: &Artifact,
    seen: &Seen<'_, '_>,
    model: usize,
    catalog: &super::Catalog,
    waiting: &[Waiting],
    scoring: &mut Scratch,
) {
    let features = &artifact.features;
    let lists = Lists::of(features, seen);
    let lists = lists.borrowed();
    let mut row = Row::new(features, seen, &lists);
    let width = features.len();
    let rows = &mut scoring.rows;
    rows.clear();
    let mut count = 0;
    for waits in waiting.iter().filter(|waits| waits.model == model) {
        let entry = catalog.entry(waits.place);
        let creative = &entry.compiled.creatives[usize::from(waits.creative)].creative;
        if count == 0 {
            rows.resize(width, f64::NAN);
            row.fill_shared(rows);
        } else {
            rows.extend_from_within(..width);
        }
        row.fill_varying(&Shown { entry, creative }, &mut rows[count * width..]);
        count += 1;
    }
    artifact.model.score(rows, count, features.leading(), &mut scoring.model);
}
