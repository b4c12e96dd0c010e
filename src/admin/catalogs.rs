//! The catalog in force: edits put the next one in force at once, and the builder merges what they add up to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::StatusCode;
use tokio::sync::{Mutex, MutexGuard};

use super::builder::Builder;
use super::problem::Problem;
use crate::bidding::catalog::Merged;
use crate::bidding::part::Entry;
use crate::bidding::{Catalog, Editor};
use crate::ids::CampaignNo;
use crate::telemetry::metrics::Gauges;

/// Edited campaigns at which an edit does not rely on the builder any more, which has had no processor for long. Each edit
/// builds the recent layer anew, and each request looks at it: this many take about 2 ms to build.
const MAX_UNMERGED: usize = 1_024;

pub struct Catalogs {
    in_force: Arc<ArcSwap<Catalog>>,
    gauges: Arc<Gauges>,
    builder: Builder,
    /// Edited campaigns above which they are merged.
    merge_above: usize,
    state: Mutex<State>,
}

struct State {
    editor: Editor,
    /// The builder is at work.
    merging: bool,
    /// Catalogs that somebody may still read. At most one for each worker, and the last few.
    retired: Vec<Arc<Catalog>>,
}

/// An edit being made: the only one.
pub struct Edit<'a> {
    catalogs: &'a Arc<Catalogs>,
    state: MutexGuard<'a, State>,
}

impl Catalogs {
    /// Puts the first catalog in force. It took `build` to build.
    pub fn start(first: Catalog, build: Duration, merge_above: usize, gauges: Arc<Gauges>) -> io::Result<Catalogs> {
        let editor = Editor::new(first);
        let in_force = Arc::new(ArcSwap::new(editor.catalog().clone()));
        show(&gauges, editor.catalog(), Some(build));
        let state = Mutex::new(State { editor, merging: false, retired: Vec::new() });
        Ok(Catalogs { in_force, gauges, builder: Builder::start()?, merge_above, state })
    }

    pub fn in_force(&self) -> Arc<ArcSwap<Catalog>> {
        self.in_force.clone()
    }

    /// Edits are made one after the other.
    pub async fn edit(self: &Arc<Catalogs>) -> Edit<'_> {
        Edit { catalogs: self, state: self.state.lock().await }
    }

    async fn merged(self: &Arc<Catalogs>, result: Result<(Merged, Duration), impl Sized>) {
        let mut edit = self.edit().await;
        // Without a builder none is begun again: when there is much to merge, edits do it themselves.
        let Ok((merged, took)) = result else {
            tracing::error!("the catalog builder has panicked; edits merge the catalog from now on");
            return;
        };
        edit.state.merging = false;
        if edit.state.editor.end_merge(merged) {
            edit.publish(Some(took));
        }
        self.builder.free(std::mem::take(&mut edit.state.retired));
        edit.merge_if_many();
    }
}

impl Edit<'_> {
    /// A campaign is new, or something of it changed that is indexed.
    pub async fn put(&mut self, entry: Entry) -> Result<(), Problem> {
        self.state.editor.put(entry);
        self.in_force().await
    }

    pub async fn delete(&mut self, campaign: CampaignNo) -> Result<(), Problem> {
        self.state.editor.delete(campaign);
        self.in_force().await
    }

    /// A campaign's price is another one now.
    pub async fn price_changed(&mut self, campaign: CampaignNo) -> Result<(), Problem> {
        self.state.editor.price_changed(campaign);
        self.in_force().await
    }

    async fn in_force(&mut self) -> Result<(), Problem> {
        self.publish(None);
        self.merge_if_many();
        if self.state.editor.catalog().unmerged() > MAX_UNMERGED {
            self.merge_now().await?;
        }
        Ok(())
    }

    /// Puts the editor's catalog in force.
    fn publish(&mut self, build: Option<Duration>) {
        let state = &mut *self.state;
        let next = state.editor.catalog();
        let last = self.catalogs.in_force.swap(next.clone());
        show(&self.catalogs.gauges, next, build);
        if !Arc::ptr_eq(&last, next) {
            state.retired.push(last);
        }
        // Those without a base of their own are small. The others are freed where it may take long.
        state.retired.retain(|old| Arc::strong_count(old) > 1 || !old.shares_base(next));
    }

    /// Has the builder merge what was edited, which the edit does not wait for.
    fn merge_if_many(&mut self) {
        let state = &mut *self.state;
        if state.merging || state.editor.catalog().unmerged() <= self.catalogs.merge_above {
            return;
        }
        state.merging = true;
        let done = self.catalogs.builder.merge(state.editor.begin_merge());
        let catalogs = self.catalogs.clone();
        tokio::spawn(async move { catalogs.merged(done.await).await });
    }

    /// Merges with the priority of everybody else, and waits for it.
    async fn merge_now(&mut self) -> Result<(), Problem> {
        let (catalog, retired) = (self.state.editor.begin_merge(), std::mem::take(&mut self.state.retired));
        let merging = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let merged = catalog.merged();
            let read = retired.into_iter().filter(|old| Arc::strong_count(old) > 1).collect();
            (merged, started.elapsed(), read)
        });
        let (merged, took, retired) = merging.await.map_err(|_| {
            let detail = "the campaign is in force, but the catalog could not be built anew; see the log lines";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        })?;
        self.state.retired = retired;
        // The builder's own merge, when it comes at last, does not count any more.
        self.state.editor.end_merge(merged);
        self.publish(Some(took));
        Ok(())
    }
}

fn show(gauges: &Gauges, catalog: &Catalog, build: Option<Duration>) {
    gauges.campaigns.store(catalog.len() as u64, Ordering::Relaxed);
    gauges.catalog_version.store(catalog.version, Ordering::Relaxed);
    gauges.catalog_unmerged.store(catalog.unmerged() as u64, Ordering::Relaxed);
    if let Some(build) = build {
        gauges.catalog_build_us.store(build.as_micros() as u64, Ordering::Relaxed);
    }
}
