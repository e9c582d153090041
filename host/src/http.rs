//! Serves `/metrics`, `/healthz`, `/readyz` and `/details`. The main loop itself answers, so a loop that does not
//! answer is not healthy. Must not know what the answers consist of.
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Time after which a loop that has not answered counts as dead.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time limit of one exchange, including its headers.
const EXCHANGE: Duration = Duration::from_secs(10);
/// Largest number of questions that wait at once.
const WAITING: usize = 8;
const PATHS: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/details"];
const JSON: &str = "application/json";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A question to the main loop.
#[derive(Debug)]
pub struct Question {
    /// True if the details are requested, which are large.
    pub details: bool,
    /// Sender of the answer. Sending fails if the connection that asked has closed.
    pub answer: oneshot::Sender<Health>,
}

/// Health of the process.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Objects that the process waits for; it is ready if there are none.
    pub missing: Vec<String>,
    /// Metrics as OpenMetrics text.
    pub metrics: String,
    /// Details of every address, as JSON; `None` unless they were requested, and in processes without details.
    pub details: Option<String>,
}

/// Serves on this address from a task of the current runtime. Returns the receiver of the questions.
///
/// # Errors
/// When the address cannot be used.
pub async fn serve(address: Option<SocketAddr>) -> anyhow::Result<mpsc::Receiver<Question>> {
    let (asks, questions) = mpsc::channel(WAITING);
    // The channel is closed: no question will come.
    let Some(address) = address else { return Ok(questions) };
    let listener = listen(address).await.with_context(|| {
        format!("cannot serve metrics on {address}: set another with --http ADDRESS:PORT")
    })?;
    tracing::info!(%address, "metrics and health");
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PATIENCE).await; // out of descriptors: that passes
                continue;
            };
            let asks = asks.clone();
            tokio::spawn(async move {
                let answer = service_fn(|request| answer(request, asks.clone()));
                let exchange = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer);
                let _ = tokio::time::timeout(EXCHANGE, exchange).await;
            });
        }
    });
    Ok(questions)
}

/// Binds the address. `[::]` accepts both families; where the kernel has no IPv6, 0.0.0.0 is used instead.
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            let ipv4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            TcpListener::bind(ipv4).await.map_err(|_| error)
        }
        other => other,
    }
}

async fn answer(
    request: Request<Incoming>,
    asks: mpsc::Sender<Question>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    Ok(match (request.method(), path) {
        (&Method::GET | &Method::HEAD, path) if PATHS.contains(&path) => {
            match (ask(&asks, path == "/details").await, path) {
                (None, _) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, "the main loop does not answer\n")
                }
                (Some(health), "/metrics") => typed(METRICS, health.metrics),
                (Some(Health { details: Some(details), .. }), "/details") => typed(JSON, details),
                (Some(_), "/details") => text(StatusCode::NOT_FOUND, "only nodes serve /details\n"),
                (Some(health), "/readyz") if !health.missing.is_empty() => {
                    let missing = format!("waiting for {}\n", health.missing.join(", "));
                    text(StatusCode::SERVICE_UNAVAILABLE, missing)
                }
                _ => text(StatusCode::OK, "ok\n"),
            }
        }
        (_, path) if PATHS.contains(&path) => text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
        _ => {
            text(StatusCode::NOT_FOUND, "not found: use /metrics, /healthz, /readyz or /details\n")
        }
    })
}

async fn ask(asks: &mpsc::Sender<Question>, details: bool) -> Option<Health> {
    let (answer, answered) = oneshot::channel();
    let exchange = async {
        asks.send(Question { details, answer }).await.ok()?;
        answered.await.ok()
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok()?
}

fn typed(kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
