//! `/metrics`, `/health/live`, `/health/ready`: three answers to a GET, and nothing else.
//!
//! Small enough to be read at a glance, which an HTTP framework is not; requests are
//! bounded and the connection closes after each answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests under way; where one more comes, the one that has taken longest is given up: an answer
/// takes a moment, and who only holds connections keeps nobody out.
const CONNECTIONS_MAX: usize = 128;

/// Answers whether the gate can serve: `Ok` with what is to be known all the same, or nothing; `Err`
/// names what is missing.
pub trait Health: Send + Sync + 'static {
    fn ready(&self) -> impl Future<Output = Result<String, String>> + Send;
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, metrics: PrometheusHandle, health: Arc<impl Health>) {
    let mut underway: VecDeque<AbortOnDrop> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        underway.retain(|request| !request.0.is_finished());
        if underway.len() >= CONNECTIONS_MAX {
            underway.pop_front();
        }
        let (metrics, health) = (metrics.clone(), Arc::clone(&health));
        let request = tokio::spawn(async move {
            let answered = timeout(REQUEST_TIMEOUT, answer(stream, &metrics, &*health)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::debug!("an admin request was not answered");
            }
        });
        underway.push_back(AbortOnDrop(request.abort_handle()));
    }
}

/// A request that ends with its handle.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    metrics: &PrometheusHandle,
    health: &impl Health,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or(&[]);
    let (status, body) = match line.split(|byte| *byte == b' ').collect::<Vec<_>>().as_slice() {
        [b"GET", path, ..] => match path.split(|byte| *byte == b'?').next().unwrap_or(&[]) {
            b"/metrics" => {
                metrics.run_upkeep();
                ("200 OK", metrics.render())
            }
            b"/health/live" => ("200 OK", "live\n".to_owned()),
            b"/health/ready" => match health.ready().await {
                Ok(known) if known.is_empty() => ("200 OK", "ready\n".to_owned()),
                Ok(known) => ("200 OK", format!("ready: {known}\n")),
                Err(missing) => ("503 Service Unavailable", format!("not ready: {missing}\n")),
            },
            _ => ("404 Not Found", "not found: /metrics, /health/live, /health/ready\n".to_owned()),
        },
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
