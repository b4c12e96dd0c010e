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
    /// [`MAX_UNMERGED`].
    max_unmerged: usize,
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
        Ok(Catalogs { in_force, gauges, builder: Builder::start()?, merge_above, max_unmerged: MAX_UNMERGED, state })
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
        if self.state.editor.catalog().unmerged() > self.catalogs.max_unmerged {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bidding::campaign::parse;
    use crate::bidding::compiled::Compiled;
    use crate::bidding::live::Live;
    use crate::event::Promise;
    use crate::ids::NodeId;
    use crate::ledger::bucket::Grids;
    use crate::ledger::{Books, Hot};
    use crate::money::{Nanos, Rate};

    fn entry(no: CampaignNo, hot: &mut Hot) -> Entry {
        let campaign = json!({
            "id": no.0.to_string(), "currency": "USD", "budget": {"total": "1"}, "bid": {"type": "cpm", "price": "1"},
            "creatives": [{"id": "x", "type": "banner", "w": 1, "h": 1, "adm": "x", "adomain": ["a.example"]}],
        });
        let compiled = Compiled::new(no, parse(&campaign.to_string()).unwrap());
        Entry::new(Arc::new(compiled), Arc::new(Live::new(hot.account(no), true, Nanos(1))), Rate::USD)
    }

    #[tokio::test]
    async fn edits_merge_what_a_builder_does_not_get_to() {
        let mut hot = Hot::new(Books::default(), NodeId(1), Arc::new(Grids::new(&[])), Promise::default());
        let first = Catalog::build(1, &[], |_| Some(Rate::USD));
        let mut catalogs = Catalogs::start(first, Duration::ZERO, 2, Arc::default()).unwrap();
        catalogs.max_unmerged = 8;
        let catalogs = Arc::new(catalogs);
        // It was told to merge, and has no processor.
        let begun = {
            let mut edit = catalogs.edit().await;
            edit.state.merging = true;
            edit.state.editor.begin_merge()
        };
        let mut merges = 0;
        for n in 1..=40 {
            catalogs.edit().await.put(entry(CampaignNo(n), &mut hot)).await.map_err(|_| "an edit is refused").unwrap();
            let catalog = catalogs.in_force.load();
            assert!(catalog.unmerged() <= 8, "{} after {n} edits", catalog.unmerged());
            assert_eq!(catalog.len(), n as usize);
            merges += usize::from(catalog.unmerged() == 0);
        }
        assert_eq!(merges, 4, "each ninth edit merges");
        // At last it has: nothing of that counts any more.
        catalogs.merged(Ok::<_, ()>((begun.merged(), Duration::ZERO))).await;
        assert_eq!(catalogs.in_force.load().len(), 40);
        assert!((1..=40).all(|n| catalogs.in_force.load().find(CampaignNo(n)).is_some()));
    }
}
