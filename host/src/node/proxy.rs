//! Observes whether kube-proxy, or its replacement, forwards traffic on this node: queries its health endpoint, as
//! cloud load balancers do (KEP-3836). If it never answered, the state is unknown.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

/// `healthzBindAddress` of KubeProxyConfiguration, by default.
const ENDPOINT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10256);
/// Interval between two queries.
const PAUSE: Duration = Duration::from_millis(500);
/// Timeout of a query.
const PATIENCE: Duration = Duration::from_millis(400);
/// Number of missed answers in a row that count as a failure: kube-proxy may be restarting.
const MISSED: u32 = 2;

/// Queries kube-proxy all the time.
pub(super) struct Proxy {
    forwards: watch::Receiver<Option<bool>>,
}

impl Proxy {
    /// Starts to query, and notifies `changed` when the answer differs. Must be called within a runtime.
    pub fn start(changed: Arc<Notify>) -> Self {
        let (told, forwards) = watch::channel(None);
        tokio::spawn(async move {
            let mut missed = 0;
            while !told.is_closed() {
                let answer = tokio::time::timeout(PATIENCE, ask()).await.ok().flatten();
                missed = if answer.is_some() { 0 } else { missed + 1 };
                let differs = told.send_if_modified(|forwards| {
                    let now = match answer {
                        Some(status) => Some(status == StatusCode::OK),
                        None if missed < MISSED => *forwards,
                        None => forwards.map(|_| false),
                    };
                    std::mem::replace(forwards, now) != now
                });
                if differs {
                    changed.notify_one();
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { forwards }
    }

    /// Returns true if traffic for Services is forwarded; false if it was forwarded before, or is about to be; `None`
    /// if the endpoint never answered.
    pub fn forwards(&self) -> Option<bool> {
        *self.forwards.borrow()
    }
}

async fn ask() -> Option<StatusCode> {
    let stream = TcpStream::connect(ENDPOINT).await.ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get("/healthz").header(HOST, ENDPOINT.to_string());
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?);
    // The connection must be polled until the answer is there.
    tokio::select! {
        answer = answer => Some(answer.ok()?.status()),
        _ended = connection => None,
    }
}
