//! `/v1/fraud/rules` and `/v1/fraud/lists`: durable first, then in force, then answered.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::api::{read_body, to_its_end};
use super::problem::{Answer, Problem, with_body};
use crate::bidding::fault::Fault;
use crate::clock::SystemClock;
use crate::event::Event;
use crate::event::fraud::FraudEvent;
use crate::eventlog::{AppendError, EventLog, LogState};
use crate::fraud::decide::hits;
use crate::fraud::edits::{NoEdit, add_entries, put_list, remove_entry};
use crate::fraud::engine::Engine;
use crate::fraud::lists::is_name;
use crate::fraud::policy::Lists;
use crate::fraud::{self, Faults, Policy};

const JSON: &str = "application/json";
const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
/// Largest body: it is one event of the log.
const MAX_BODY_BYTES: usize = 900 << 10;

/// What edits of rules and lists need.
pub struct FraudEdits {
    pub engine: Arc<Engine>,
    pub log: Arc<dyn EventLog>,
    pub lane: usize,
    pub clock: SystemClock,
    /// One edit at a time.
    pub editing: Mutex<()>,
}

/// Answers what stands below `/v1/fraud/`.
pub async fn answer(edits: &Arc<FraudEdits>, path: &str, request: Request<Incoming>) -> Result<Answer, Problem> {
    let method = request.method().clone();
    let parts: Vec<&str> = path.split('/').collect();
    match (parts.as_slice(), method) {
        (["rules"], Method::GET) => {
            let rules = edits.engine.policy.load().rules.clone();
            Ok(with_body(StatusCode::OK, "application/toml", rules.toml.clone()))
        }
        (["rules"], Method::PUT) => {
            let text = text(request).await?;
            edits
                .edit(move |edits, policy| {
                    let mut new = Policy::new(&text, &edits.engine.velocity, policy.lists.clone())
                        .map_err(|faults| refused(UNPROCESSABLE, "the rules have faults", faults))?;
                    new.keep_hits(policy);
                    let count = new.rules.rules.len();
                    let answer = json!({"ruleset_version": &*new.version, "rules": count});
                    Ok((FraudEvent::Rules { toml: text }, new, with_body(StatusCode::OK, JSON, answer.to_string())))
                })
                .await
        }
        (["rules"], _) => Err(Problem::not_allowed("GET, PUT")),
        (["rules", "hits"], Method::GET) => Ok(with_body(StatusCode::OK, JSON, rule_hits(edits).to_string())),
        (["rules", "hits"], _) => Err(Problem::not_allowed("GET")),
        (["lists"], Method::GET) => {
            let policy = edits.engine.policy.load();
            let lists = policy.lists.iter();
            let lists = lists.map(|(name, list)| json!({"name": name, "kind": list.kind, "entries": list.len()}));
            Ok(with_body(StatusCode::OK, JSON, Value::Array(lists.collect()).to_string()))
        }
        (["lists"], _) => Err(Problem::not_allowed("GET")),
        (["lists", name], Method::GET) => {
            let policy = edits.engine.policy.load();
            let list = policy.lists.get(*name).ok_or_else(|| not_found(format!("there is no list {name:?}")))?;
            let content = serde_json::to_string(&list.content());
            let content = content.map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
            Ok(with_body(StatusCode::OK, JSON, content))
        }
        (["lists", name], Method::PUT) => {
            if !is_name(name) {
                return Err(Problem::new(UNPROCESSABLE, "a list's name is letters, digits and _"));
            }
            let (name, json) = ((*name).to_owned(), text(request).await?);
            edits.edit_lists(FraudEvent::List { name, json }).await
        }
        (["lists", _], _) => Err(Problem::not_allowed("GET, PUT")),
        (["lists", name, "entries"], Method::POST) => {
            let (name, json) = ((*name).to_owned(), text(request).await?);
            edits.edit_lists(FraudEvent::ListEntries { name, json }).await
        }
        (["lists", _, "entries"], _) => Err(Problem::not_allowed("POST")),
        (["lists", name, "entries", value @ ..], Method::DELETE) if !value.is_empty() => {
            let (name, value) = ((*name).to_owned(), unescaped(&value.join("/"))?);
            edits.edit_lists(FraudEvent::ListEntryRemoved { name, value }).await
        }
        (["lists", _, "entries", ..], _) => Err(Problem::not_allowed("DELETE")),
        _ => Err(not_found(format!("there is nothing at /v1/fraud/{path}; see /openapi.json"))),
    }
}

impl FraudEdits {
    async fn edit_lists(self: &Arc<Self>, event: FraudEvent) -> Result<Answer, Problem> {
        self.edit(move |edits, policy| {
            let mut lists: Lists = policy.lists.clone();
            let now = edits.clock.now();
            let edited = match &event {
                FraudEvent::List { name, json } => put_list(&mut lists, name, json.as_bytes(), now),
                FraudEvent::ListEntries { name, json } => add_entries(&mut lists, name, json.as_bytes(), now),
                FraudEvent::ListEntryRemoved { name, value } => remove_entry(&mut lists, name, value, now),
                _ => Ok(()),
            };
            edited.map_err(|why| match why {
                NoEdit::NotFound(detail) => not_found(detail),
                NoEdit::Syntax(fault) => refused(StatusCode::BAD_REQUEST, "the body is not JSON", vec![fault]),
                NoEdit::Faults(faults) => refused(UNPROCESSABLE, "the list has faults", faults),
            })?;
            if let FraudEvent::List { name, .. } = &event {
                go_with(edits, policy, &lists, name)?;
            }
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::NO_CONTENT;
            Ok((event, policy.with_lists(lists), answer))
        })
        .await
    }

    /// Makes an edit whole although the client may go away.
    async fn edit(
        self: &Arc<Self>,
        make: impl FnOnce(&FraudEdits, &Policy) -> Result<(FraudEvent, Policy, Answer), Problem> + Send + 'static,
    ) -> Result<Answer, Problem> {
        let edits = self.clone();
        let edit = async move {
            let _one = edits.editing.lock().await;
            let (event, policy, answer) = make(&edits, &edits.engine.policy.load())?;
            let written = match edits.log.state() {
                LogState::Full => Err(AppendError::Full),
                _ => edits.log.append_durable(edits.lane, &[Event::Fraud(event)]).await,
            };
            written.map_err(|e| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("nothing was changed: {e}")))?;
            edits.engine.policy.store(Arc::new(policy));
            // What the log told of it is worked out here and not on the log's thread.
            drop(edits.engine.edits());
            Ok(answer)
        };
        to_its_end(edit).await
    }
}

/// Refuses a list of another kind than before where a rule in force could not hold any more: nobody would notice.
fn go_with(edits: &FraudEdits, policy: &Policy, lists: &Lists, name: &str) -> Result<(), Problem> {
    let kind = |lists: &Lists| lists.get(name).map(|list| list.kind);
    if policy.lists.contains_key(name) && kind(&policy.lists) != kind(lists) {
        let faults = Policy::new(&policy.rules.toml, &edits.engine.velocity, lists.clone()).err().unwrap_or_default();
        let is_new = |fault: &fraud::Fault| !policy.rules.left_out.contains(fault);
        let of_kind = |fault: fraud::Fault| fraud::Fault::new("/kind", format!("of the rules: {}", fault.message));
        let faults: Vec<_> = faults.into_iter().filter(is_new).map(of_kind).collect();
        if !faults.is_empty() {
            return Err(refused(UNPROCESSABLE, "the rules in force need a list of another kind", faults));
        }
    }
    Ok(())
}

fn rule_hits(edits: &FraudEdits) -> Value {
    let policy = edits.engine.policy.load();
    let rules = hits(&policy).map(|(rule, hits)| {
        let mode = if rule.shadow { "shadow" } else { "live" };
        json!({"id": rule.id, "mode": mode, "action": rule.action.as_str(), "hits": hits})
    });
    let left_out: Vec<Value> = policy.rules.left_out.iter().map(|fault| fault.message.clone().into()).collect();
    json!({"ruleset_version": &*policy.version, "rules": rules.collect::<Vec<_>>(), "left_out": left_out})
}

async fn text(request: Request<Incoming>) -> Result<String, Problem> {
    let body = read_body(request, MAX_BODY_BYTES).await?;
    let not_utf8 = |_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8");
    String::from_utf8(body.to_vec()).map_err(not_utf8)
}

/// What stands in a path, without its percent signs (RFC 3986 section 2.1).
fn unescaped(path: &str) -> Result<String, Problem> {
    let (mut out, mut bytes) = (Vec::new(), path.bytes());
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(Problem::new(StatusCode::BAD_REQUEST, "a percent sign needs two digits")),
            },
            byte => byte,
        };
        out.push(byte);
    }
    String::from_utf8(out).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the path is not UTF-8"))
}

fn not_found(detail: String) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, detail)
}

fn refused(status: StatusCode, detail: &str, faults: impl Into<Faults>) -> Problem {
    let fault = |f: fraud::Fault| Fault { pointer: f.pointer, line: None, message: f.message };
    Problem::faults(status, detail, faults.into().listed().into_iter().map(fault).collect())
}
