//! `/v1/models`: upload, activate, shadow, roll back, withdraw, and what the versions score.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Answer, Problem, with_body};
use crate::modelstore::{ModelStore, NotLoaded, OnDisk, StoreError};
use crate::scoring::ModelSet;
use crate::telemetry::Metrics;
use crate::telemetry::models::{Compared, Histogram, Key, ModelStats, SCORES, VersionStats};

const JSON: &str = "application/json";
/// Largest upload; larger artifacts are put into the directory.
const MAX_UPLOAD_BYTES: usize = 64 << 20;
/// For a whole upload to come.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);

pub struct ModelApi {
    pub store: Arc<ModelStore>,
    pub metrics: Arc<Metrics>,
    /// One upload is in memory at a time, and one model being checked. The work holds the permits, not who asked for it: a
    /// client that goes away does not let the next one in.
    uploads: Arc<Semaphore>,
    loads: Arc<Semaphore>,
}

impl ModelApi {
    pub fn new(store: Arc<ModelStore>, metrics: Arc<Metrics>) -> ModelApi {
        let one = || Arc::new(Semaphore::new(1));
        ModelApi { store, metrics, uploads: one(), loads: one() }
    }

    async fn load_turn(&self) -> OwnedSemaphorePermit {
        // cannot fail: nobody closes it
        self.loads.clone().acquire_owned().await.expect("never closed")
    }
}

/// Answers what is asked below `/v1/models`.
pub async fn answer(api: &ModelApi, path: &str, request: Request<Incoming>) -> Result<Answer, Problem> {
    let method = request.method().clone();
    let only = |allowed: Method, name| if method == allowed { Ok(()) } else { Err(Problem::not_allowed(name)) };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        [] => only(Method::GET, "GET").map(|()| list(api)),
        [name] => match method {
            Method::GET => model(api, name),
            Method::DELETE => {
                let wanted = name.to_owned();
                apart(api, (), move |store| store.withdraw(&wanted)).await?;
                Ok(with_status(Answer::default(), StatusCode::NO_CONTENT))
            }
            _ => Err(Problem::not_allowed("GET, DELETE")),
        },
        [name, "rollback"] if method == Method::POST => {
            let wanted = name.to_owned();
            let turn = api.load_turn().await;
            change(api, name, turn, move |store| store.roll_back(&wanted)).await
        }
        [name, "shadow"] if method == Method::DELETE => {
            let wanted = name.to_owned();
            change(api, name, (), move |store| store.end_shadow(&wanted)).await
        }
        [name, version] => match method {
            Method::GET => version_of(api, name, version),
            Method::PUT => put(api, name, version, request).await,
            _ => Err(Problem::not_allowed("GET, PUT")),
        },
        [name, version, what @ ("activate" | "shadow")] => {
            only(Method::POST, "POST")?;
            let turn = api.load_turn().await;
            let (wanted, version) = (name.to_owned(), version.to_owned());
            let activates = what == "activate";
            let to = move |store: &ModelStore| {
                if activates { store.activate(&wanted, &version) } else { store.shadow(&wanted, &version) }
            };
            change(api, name, turn, to).await
        }
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "there is nothing here; see /openapi.json")),
    }
}

async fn change(
    api: &ModelApi,
    name: &str,
    held: impl Send + 'static,
    work: impl FnOnce(&ModelStore) -> Result<(), StoreError> + Send + 'static,
) -> Result<Answer, Problem> {
    apart(api, held, work).await?;
    model(api, name)
}

/// Works on a thread that may wait; to its end, although the client may go away, and until then it keeps what is `held`.
async fn apart<T: Send + 'static>(
    api: &ModelApi,
    held: impl Send + 'static,
    work: impl FnOnce(&ModelStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = api.store.clone();
    let run = move || {
        let result = work(&store);
        drop(held);
        result
    };
    let broken = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "it broke off; see the log lines");
    tokio::task::spawn_blocking(run).await.map_err(broken)?.map_err(Problem::from)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        let status = match &error {
            StoreError::NotThere(_) => StatusCode::NOT_FOUND,
            StoreError::Conflict(_) => StatusCode::CONFLICT,
            StoreError::Malformed(_) => StatusCode::BAD_REQUEST,
            StoreError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            StoreError::Log(_) | StoreError::Disk(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::new(status, error.to_string())
    }
}

async fn put(api: &ModelApi, name: &str, version: &str, request: Request<Incoming>) -> Result<Answer, Problem> {
    let busy = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "another upload is on its way");
    let upload = api.uploads.clone().try_acquire_owned().map_err(busy)?;
    let body = Limited::new(request.into_body(), MAX_UPLOAD_BYTES).collect();
    let body = tokio::time::timeout(UPLOAD_TIMEOUT, body)
        .await
        .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?
        .map_err(|_| {
            let detail = format!("the body broke off or is above {MAX_UPLOAD_BYTES} bytes: put it into the directory");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        })?
        .to_bytes();
    let held = (upload, api.load_turn().await);
    let (wanted, of) = (name.to_owned(), version.to_owned());
    let is_new = apart(api, held, move |store| store.put(&wanted, &of, &body)).await?;
    let answer = version_of(api, name, version)?;
    Ok(if is_new { with_status(answer, StatusCode::CREATED) } else { answer })
}

fn with_status(mut answer: Answer, status: StatusCode) -> Answer {
    *answer.status_mut() = status;
    answer
}

fn list(api: &ModelApi) -> Answer {
    let models = api.store.registry().load();
    let found = api.store.versions();
    let names: BTreeSet<&str> = models.iter().map(|(name, _)| name).chain(found.keys().map(String::as_str)).collect();
    let list: Vec<Value> = names.into_iter().filter_map(|name| model_json(api, name)).collect();
    with_body(StatusCode::OK, JSON, Value::Array(list).to_string())
}

fn model(api: &ModelApi, name: &str) -> Result<Answer, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, format!("there is no model {name:?}"));
    model_json(api, name).map(|model| with_body(StatusCode::OK, JSON, model.to_string())).ok_or_else(none)
}

fn model_json(api: &ModelApi, name: &str) -> Option<Value> {
    let set = api.store.registry().load().get(name).cloned().unwrap_or_default();
    let found = api.store.versions().remove(name);
    let not_loaded: Vec<Value> = api.store.not_loaded(name).iter().map(not_loaded_json).collect();
    if set.each().next().is_none() && found.is_none() && not_loaded.is_empty() {
        return None;
    }
    let mut versions = found.unwrap_or_default();
    let misplaced = versions.remove("");
    for artifact in set.each() {
        versions.entry(artifact.version.clone()).or_insert(OnDisk::Fine);
    }
    let [active, shadow, previous] = [&set.active, &set.shadow, &set.previous].map(|r| r.as_ref().map(|a| &a.version));
    let list: Vec<Value> = versions.iter().map(|(version, known)| version_json(name, version, known, &set)).collect();
    let stats = ModelStats::merged(api.metrics.workers.iter().map(|worker| &worker.models));
    let scores: Vec<Value> = stats.iter().filter(|((of, ..), _)| of == name).map(scores_json).collect();
    let both = set.active.as_deref().zip(set.shadow.as_deref());
    let comparison = both.and_then(|(active, shadow)| {
        let stats = stats.get(&(name.to_owned(), shadow.version.clone(), true))?;
        comparison_json(&active.version, &shadow.version, stats)
    });
    Some(json!({
        "name": name,
        "active": active,
        "shadow": shadow,
        "previous": previous,
        "fault": misplaced.as_ref().and_then(fault_of),
        "not_loaded": not_loaded,
        "versions": list,
        "comparison": comparison,
        "scores": scores,
    }))
}

fn version_of(api: &ModelApi, name: &str, version: &str) -> Result<Answer, Problem> {
    let set = api.store.registry().load().get(name).cloned().unwrap_or_default();
    let mut versions = api.store.versions().remove(name).unwrap_or_default();
    let known = match versions.remove(version) {
        Some(known) => known,
        None if set.find(version).is_some() => OnDisk::Fine,
        None => {
            let detail = format!("there is no model {name:?} {version:?}");
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
    };
    Ok(with_body(StatusCode::OK, JSON, version_json(name, version, &known, &set).to_string()))
}

fn fault_of(known: &OnDisk) -> Option<String> {
    match known {
        OnDisk::Fine => None,
        OnDisk::Refused(fault) | OnDisk::Changed(fault) => Some(fault.clone()),
        OnDisk::Gone => Some("its files are gone: the next start will not use it".to_owned()),
    }
}

fn version_json(name: &str, version: &str, known: &OnDisk, set: &ModelSet) -> Value {
    let roles = [("active", &set.active), ("shadow", &set.shadow), ("previous", &set.previous)];
    let role = roles.iter().find(|(_, role)| role.as_ref().is_some_and(|a| a.version == version));
    json!({
        "name": name,
        "version": version,
        "role": role.map(|(role, _)| *role),
        "state": match known {
            OnDisk::Fine => "fine",
            OnDisk::Refused(_) => "refused",
            OnDisk::Changed(_) => "changed",
            OnDisk::Gone => "gone",
        },
        "fault": fault_of(known),
    })
}

fn not_loaded_json(NotLoaded { role, version, why }: &NotLoaded) -> Value {
    json!({"role": role, "version": version, "why": why})
}

/// The active version and its shadow, by the rows that both have scored since the two stand beside one another.
fn comparison_json(active: &str, shadow: &str, stats: &VersionStats) -> Option<Value> {
    let compared = stats.compared.get(active)?;
    let side = |version: &str, side: &Compared| {
        json!({
            "version": version,
            "mean": side.scores.mean(),
            "distribution": distribution(&side.scores),
            "batch_mean_us": side.seconds.mean() * 1e6,
        })
    };
    let rows = compared.active.scores.count();
    Some(json!({
        "rows": rows,
        "batches": compared.active.seconds.count(),
        "active": side(active, &compared.active),
        "shadow": side(shadow, &compared.shadow),
        "difference": {"mean": compared.difference_sum / rows as f64, "most": compared.most_different},
    }))
}

/// How many scores are at most so much.
fn distribution(scores: &Histogram<{ SCORES.len() }>) -> Vec<Value> {
    let below = scores.buckets(&SCORES).into_iter().scan(0, |sum, (end, count)| {
        *sum += count;
        Some((end, *sum))
    });
    below.filter(|(end, _)| end.is_finite()).map(|(end, rows)| json!({"at_most": end, "rows": rows})).collect()
}

/// Since the start. Numbers that there are none of are null.
fn scores_json(((_, version, is_shadow), stats): (&Key, &VersionStats)) -> Value {
    json!({
        "version": version,
        "role": if *is_shadow { "shadow" } else { "active" },
        "rows": stats.scores.count(),
        "odd": stats.odd,
        "mean": stats.scores.mean(),
        "distribution": distribution(&stats.scores),
        "batches": stats.seconds.count(),
        "batch_mean_us": stats.seconds.mean() * 1e6,
    })
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use super::*;
    use crate::clock::UnixMs;
    use crate::event::{Event, Stamped};
    use crate::eventlog::mem::MemStorage;
    use crate::eventlog::{Follower, LogConfig, SegmentLog};
    use crate::scoring::Sources;

    struct Nobody;

    impl Follower for Nobody {
        fn apply(&mut self, _: &Stamped, _: &mut Vec<Event>) {}
        fn tick(&mut self, _: UnixMs, _: &mut Vec<Event>) {}
    }

    #[test]
    fn a_client_that_goes_away_does_not_let_the_next_one_in() {
        let opened = SegmentLog::open(Arc::new(MemStorage::default()), LogConfig::default(), &mut |_, _| {}).unwrap();
        let (log, ..) = opened.start_stepped(Box::new(|| UnixMs(0)), Box::new(Nobody), Box::new(|_| {})).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let sources = Box::new(|_: &str| Sources::bid());
        let store = ModelStore::start(dir.path().into(), sources, &Default::default(), Arc::new(log), 0).unwrap();
        let api = ModelApi::new(Arc::new(store), Arc::new(Metrics::new(1)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let within = runtime.enter();
        let (began, has_begun) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel::<()>();
        {
            let turn = api.loads.clone().try_acquire_owned().unwrap();
            let work = apart(&api, turn, move |_| {
                began.send(()).unwrap();
                goes_on.recv().unwrap();
                Ok(())
            });
            assert!(pin!(work).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            // Here the connection ends.
        }
        has_begun.recv().unwrap();
        assert!(api.loads.try_acquire().is_err(), "the work still goes on");
        go_on.send(()).unwrap();
        drop(within);
        drop(runtime.block_on(api.load_turn()));
    }
}
