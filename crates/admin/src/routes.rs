//! What there is to ask for.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chronik_broker::{ClusterReport, Observer};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use crate::Surface;
use crate::answers::{self, Cluster, Problem};

/// An answer, whole.
type Answer = Response<Full<Bytes>>;

/// How long threads may take to say that they live. A disk that makes a thread wait for longer is worth a restart.
const LIFE_WITHIN: Duration = Duration::from_secs(5);

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
/// What Prometheus calls its text.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const PATHS: &[&str] = &["/livez", "/readyz", "/clusterz", "/metrics", "/version", "/api/v1/cluster"];

/// How long an answer that took a walk over all partitions is given again: whoever asks in a loop keeps neither the node busy nor the
/// probes waiting.
const SHELF_LIFE: Duration = Duration::from_millis(250);

/// Answers that took long to make.
#[derive(Default)]
pub(crate) struct Shelf {
    metrics: Mutex<Option<(Instant, Bytes)>>,
    cluster: Mutex<Option<(Instant, Document)>>,
}

/// A cluster, as text.
#[derive(Clone)]
struct Document {
    is_unavailable: bool,
    text: Bytes,
}

/// What lies there and is fresh, or what is made now; nothing if nothing can be.
fn fresh<T: Clone>(place: &Mutex<Option<(Instant, T)>>, make: impl FnOnce() -> Option<T>) -> Option<T> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made, answer)) = &*place
        && made.elapsed() < SHELF_LIFE
    {
        return Some(answer.clone());
    }
    // In between nothing old is kept: the next one may be long in coming.
    *place = None;
    let answer = make()?;
    *place = Some((Instant::now(), answer.clone()));
    Some(answer)
}

/// Answers a request; there is always an answer.
pub(crate) async fn answer(
    request: Request<Incoming>,
    surface: Surface,
    observer: Observer,
    shelf: Arc<Shelf>,
) -> Result<Answer, Infallible> {
    Ok(match check(&request, surface) {
        Some(problem) => refused(&problem),
        None => look(request.uri().path(), &observer, &shelf).await,
    })
}

/// Why a request is not looked at.
fn check(request: &Request<Incoming>, surface: Surface) -> Option<Problem> {
    let path = request.uri().path();
    let is_there = match surface {
        Surface::Whole => PATHS.contains(&path),
        Surface::Metrics => path == "/metrics",
    };
    if !is_there {
        return Some(Problem::not_found(surface, PATHS));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Some(Problem::method());
    }
    (!request.body().is_end_stream()).then(Problem::body)
}

async fn look(path: &str, observer: &Observer, shelf: &Shelf) -> Answer {
    match path {
        "/livez" => match observer.silent_threads(LIFE_WITHIN).await {
            silent if silent.is_empty() => json(StatusCode::OK, &answers::alive()),
            silent => json(StatusCode::SERVICE_UNAVAILABLE, &answers::silent(&silent)),
        },
        "/readyz" => match observer.unready() {
            reasons if reasons.is_empty() => json(StatusCode::OK, &answers::ready()),
            reasons => json(StatusCode::SERVICE_UNAVAILABLE, &answers::unready(&reasons)),
        },
        "/version" => json(StatusCode::OK, &answers::version()),
        "/metrics" => {
            let text = fresh(&shelf.metrics, || observer.metrics().map(Bytes::from));
            text.map_or_else(|| starting(observer), |text| with(StatusCode::OK, METRICS, text))
        }
        _ => match fresh(&shelf.cluster, || observer.cluster().as_ref().map(document)) {
            None => starting(observer),
            Some(Document { is_unavailable, text }) => {
                let is_bad = is_unavailable && path == "/clusterz";
                with(if is_bad { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, JSON, text)
            }
        },
    }
}

/// There is nothing to tell yet.
fn starting(observer: &Observer) -> Answer {
    refused(&Problem::starting(&observer.unready()))
}

fn refused(problem: &Problem) -> Answer {
    let mut answer = with(problem.status, PROBLEM, problem.to_json().to_string());
    if problem.status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(hyper::header::ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    with(status, JSON, text_of(document))
}

/// Also read by people.
fn text_of(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document).expect("names and numbers can always be written");
    text + "\n"
}

fn document(report: &ClusterReport) -> Document {
    Document { is_unavailable: answers::is_unavailable(report), text: text_of(&Cluster::of(report)).into() }
}

fn with(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_fresh_is_given_again_and_an_old_one_is_not() {
        let place = Mutex::default();
        assert_eq!(fresh(&place, || Some(1)), Some(1));
        assert_eq!(fresh(&place, || panic!("made again")), Some(1));
        place.lock().unwrap().as_mut().unwrap().0 -= SHELF_LIFE;
        assert_eq!(fresh(&place, || None), None);
        assert_eq!(fresh(&place, || Some(2)), Some(2));
    }
}
