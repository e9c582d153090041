//! Minimal HTTP: a server that answers every request with one word, and a client for it.
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{Shutdown, shutdown};

/// Server that answers until dropped.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens in the network of the calling thread and answers 200 with `word`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(address: SocketAddr, word: String) -> Result<Self> {
        let listener =
            TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let accepting = listener.try_clone()?;
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                // A client that disconnected does not concern the server.
                let _ = answer(stream, &word);
            }
        });
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ends the blocking accept on the other thread.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends one request for `/`, in the network of the calling thread, and returns the body of a 200.
///
/// # Errors
/// When there is no answer within `limit` for each step, or another status.
pub fn get(address: SocketAddr, limit: Duration) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, limit)
        .with_context(|| format!("no connection to {address}"))?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    stream.write_all(
        format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response).with_context(|| format!("no answer from {address}"))?;
    let Some((head, body)) = response.split_once("\r\n\r\n") else {
        bail!("{address} answered {response:?}")
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("{address} answered {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

fn answer(mut stream: TcpStream, word: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => request.extend_from_slice(&chunk[..n]),
        }
    }
    let length = word.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{word}")
}
