use std::time::Duration;

use super::*;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{limits::RUN_BODY_BYTES_MAX, serve};

/// A host on a port of its own.
struct Served {
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn served() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let task = tokio::spawn(serve(listener, api().await, shutdown));
    Served { port, stop, task }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends text as it is and reads until the host closes.
    async fn exchange(&self, head: &str, body: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(head.replace("PORT", &self.port.to_string()).as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn loopback_names_pass_only_with_the_port() {
    let host = served().await;
    let own = "GET /healthz HTTP/1.1\r\nHost: localhost:PORT\r\nConnection: close\r\n\r\n";
    assert!(host.exchange(own, b"").await.starts_with("HTTP/1.1 200"));
    let other = "GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n";
    assert!(host.exchange(other, b"").await.starts_with("HTTP/1.1 403"));
    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    assert!(host.exchange(old, b"").await.contains("host_refused"));
}

#[tokio::test]
async fn a_client_that_sends_before_it_reads_sees_the_413() {
    let host = served().await;
    let body = vec![b'x'; 3 * RUN_BODY_BYTES_MAX];
    let head = format!(
        "POST /api/v1/runs HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    assert!(host.exchange(&head, &body).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn stopping_closes_idle_connections_at_once() {
    let host = served().await;
    let mut idle = host.connect().await;
    let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", host.port);
    idle.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    host.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), host.task).await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", host.port)).await.is_err());
}
