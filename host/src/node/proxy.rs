//! Whether kube-proxy, or what takes its place, forwards traffic on this node: its health endpoint, as cloud load balancers ask it
//! (KEP-3836). Where nothing ever answered nothing is known.
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
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// For an answer.
const PATIENCE: Duration = Duration::from_millis(400);
/// So many in a row without an answer are none: kube-proxy may be starting again.
const MISSED: u32 = 2;

/// Asks all the time.
pub(super) struct Proxy {
    forwards: watch::Receiver<Option<bool>>,
}

impl Proxy {
    /// Asks from now on, and says when the answer is another. Call within a runtime.
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

    /// True: traffic for Services is forwarded; false: it was, or is about to be; `None`: nothing ever answered.
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
    // The connection goes on until its answer is there, and ends with it.
    tokio::select! {
        answer = answer => Some(answer.ok()?.status()),
        _ended = connection => None,
    }
}
