//! What there is to ask for.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use chronik_broker::Observer;
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

/// Answers a request; there is always an answer.
pub(crate) async fn answer(request: Request<Incoming>, surface: Surface, observer: Observer) -> Result<Answer, Infallible> {
    Ok(match check(&request, surface) {
        Some(problem) => refused(&problem),
        None => look(request.uri().path(), &observer).await,
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

async fn look(path: &str, observer: &Observer) -> Answer {
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
        "/metrics" => observer.metrics().map_or_else(|| starting(observer), |text| with(StatusCode::OK, METRICS, text)),
        _ => match observer.cluster() {
            None => starting(observer),
            Some(report) => {
                let is_bad = answers::is_unavailable(&report) && path == "/clusterz";
                let status = if is_bad { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
                json(status, &Cluster::of(&report))
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
    // Also read by people.
    let text = serde_json::to_string_pretty(document).expect("names and numbers can always be written");
    with(status, JSON, format!("{text}\n"))
}

fn with(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    answer
}
