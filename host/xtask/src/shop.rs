//! The small shop that the demo's flows call: a few fixed answers over HTTP on loopback, and a model of few words.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The largest body that is read. The demo's are far smaller.
const MAX_BODY_BYTES: u64 = 1 << 20;
/// How long a silent client is listened to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the shop on a free port of loopback. It ends with the process.
pub(crate) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("binding the demo's shop to loopback")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away is none of the shop's business.
            thread::spawn(move || serve(client).ok());
        }
    });
    Ok(address)
}

fn serve(client: TcpStream) -> Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut writer = client;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body = read_body(&mut reader)?;
    let (status, answer) = answer(method, path, &body);
    let answer = answer.to_string();
    write!(
        writer,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )?;
    Ok(())
}

fn read_body(reader: &mut BufReader<TcpStream>) -> Result<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = String::new();
    reader.take(MAX_BODY_BYTES.min(length)).read_to_string(&mut body)?;
    Ok(serde_json::from_str(&body).unwrap_or_default())
}

fn answer(method: &str, path: &str, body: &Value) -> (&'static str, Value) {
    match (method, path) {
        ("GET", "/orders/2041") => (
            "200 OK",
            json!({
                "id": "2041",
                "customer": "Ada",
                "lines": [
                    { "sku": "LAMP", "price": 49.5, "count": 2 },
                    { "sku": "BULB", "price": 3.2, "count": 4 },
                ],
            }),
        ),
        ("POST", "/confirmations") => {
            let order = body.get("order").and_then(Value::as_str).unwrap_or("?");
            ("201 Created", json!({ "confirmation": format!("C-{order}") }))
        }
        ("POST", "/v1/chat/completions") => ("200 OK", completion(body)),
        ("POST", "/hooks") => ("202 Accepted", json!({ "taken": true })),
        _ => ("404 Not Found", json!({ "error": "the shop does not know that" })),
    }
}

/// In the format of OpenAI. It finds bad whatever names a fault.
fn completion(body: &Value) -> Value {
    const FAULTS: [&str; 5] = ["broken", "late", "missing", "wrong", "never"];
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |message: &Value| message.get("content").and_then(Value::as_str).map(str::to_lowercase);
    let asked = messages.last().and_then(text).unwrap_or_default();
    let mood = if FAULTS.iter().any(|fault| asked.contains(fault)) { "bad" } else { "good" };
    // As many tokens as words.
    let prompt: usize = messages.iter().filter_map(text).map(|text| text.split_whitespace().count()).sum();
    json!({
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model").unwrap_or(&Value::Null),
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": mood },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1 },
    })
}
