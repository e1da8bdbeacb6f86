//! What the server says (RFC 5321), as far as the tests need it.

use std::io;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{Mail, Misbehave, Shared, SmtpTls, held};

/// `User` and `Pass`, as `AUTH LOGIN` asks for them.
const ASK_USER: &str = "334 VXNlcm5hbWU6";
const ASK_PASSWORD: &str = "334 UGFzc3dvcmQ6";

pub(super) async fn serve(
    shared: &Shared,
    stream: TcpStream,
    tls: SmtpTls,
    acceptor: &TlsAcceptor,
) -> io::Result<()> {
    if tls == SmtpTls::Implicit {
        return Conversation::new(shared, acceptor.accept(stream).await?, true).hold(false).await.map(|_| ());
    }
    let mut conversation = Conversation::new(shared, stream, false);
    if conversation.hold(tls == SmtpTls::Starttls).await? {
        let stream = acceptor.accept(conversation.stream.into_inner()).await?;
        let mut conversation = Conversation::new(shared, stream, true);
        conversation.greeted = true;
        conversation.hold(false).await?;
    }
    Ok(())
}

struct Conversation<'a, S> {
    shared: &'a Shared,
    stream: BufReader<S>,
    secure: bool,
    /// Before TLS.
    greeted: bool,
    user: Option<String>,
    from: String,
    to: Vec<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Conversation<'a, S> {
    fn new(shared: &'a Shared, stream: S, secure: bool) -> Self {
        let stream = BufReader::new(stream);
        Self { shared, stream, secure, greeted: false, user: None, from: String::new(), to: Vec::new() }
    }

    /// To its end; `true` where TLS comes next.
    async fn hold(&mut self, starttls: bool) -> io::Result<bool> {
        if !self.greeted {
            self.answer("connect", "220 mail.test ready").await?;
        }
        loop {
            let line = self.line().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.hello(starttls).await?,
                "STARTTLS" if starttls => {
                    self.answer("STARTTLS", "220 go on").await?;
                    return Ok(true);
                }
                "AUTH" => self.log_in(rest).await?,
                "MAIL" if self.may_send() => {
                    self.from = address(rest);
                    self.to.clear();
                    self.answer("MAIL", "250 ok").await?;
                }
                "MAIL" => self.say("530 5.7.0 log in first").await?,
                "RCPT" => {
                    self.to.push(address(rest));
                    self.answer("RCPT", "250 ok").await?;
                }
                "DATA" => self.take().await?,
                "NOOP" => self.answer("NOOP", "250 ok").await?,
                "RSET" => self.say("250 ok").await?,
                "QUIT" => {
                    self.say("221 bye").await?;
                    return Ok(false);
                }
                _ => self.say("502 what?").await?,
            }
        }
    }

    async fn hello(&mut self, starttls: bool) -> io::Result<()> {
        let mut answer = "250-mail.test\r\n250-8BITMIME\r\n".to_owned();
        if starttls {
            answer.push_str("250-STARTTLS\r\n");
        }
        answer.push_str("250 AUTH PLAIN LOGIN");
        self.answer("EHLO", &answer).await
    }

    fn may_send(&self) -> bool {
        self.shared.login.is_none() || self.user.is_some()
    }

    async fn log_in(&mut self, rest: &str) -> io::Result<()> {
        let given = match rest.split_once(' ') {
            Some((_, initial)) => {
                let text = decoded(initial);
                let mut parts = text.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            None => {
                self.say(ASK_USER).await?;
                let user = decoded(&self.line().await?);
                self.say(ASK_PASSWORD).await?;
                (user, decoded(&self.line().await?))
            }
        };
        if self.shared.login.as_ref().is_some_and(|login| *login != given) {
            return self.answer("AUTH", "535 5.7.8 wrong user or password").await;
        }
        self.user = Some(given.0);
        self.answer("AUTH", "235 welcome").await
    }

    async fn take(&mut self) -> io::Result<()> {
        self.answer("DATA", "354 go on").await?;
        let mut data = Vec::new();
        loop {
            let start = data.len();
            if self.stream.read_until(b'\n', &mut data).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = data.get(start..).unwrap_or_default();
            if line == b".\r\n" && (start == 0 || data[..start].ends_with(b"\r\n")) {
                data.truncate(start);
                break;
            }
            if line.starts_with(b".") {
                data.remove(start);
            }
        }
        // Who is told no has not sent it.
        self.answer("mail", "250 taken").await?;
        if !held(&self.shared.misbehaviour).contains_key("mail") {
            let (from, to) = (self.from.clone(), self.to.clone());
            let data = String::from_utf8_lossy(&data).into_owned();
            let mail = Mail { from, to, data, secure: self.secure, user: self.user.clone() };
            held(&self.shared.mails).push(mail);
        }
        Ok(())
    }

    /// What belongs here, unless the server was told otherwise.
    async fn answer(&mut self, at: &str, well: &str) -> io::Result<()> {
        held(&self.shared.reached).insert(at.to_owned());
        let how = held(&self.shared.misbehaviour).get(at).copied();
        match how {
            None => self.say(well).await,
            Some(Misbehave::Say(line)) => self.say(line).await,
            Some(Misbehave::Drop) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Misbehave::Hang) => self.until_gone().await,
            Some(Misbehave::Babble) => loop {
                self.stream.get_mut().write_all(&[b'x'; 4_096]).await?;
            },
        }
    }

    /// Says nothing until the client closes.
    async fn until_gone(&mut self) -> io::Result<()> {
        loop {
            let read = self.stream.fill_buf().await?.len();
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.stream.consume(read);
        }
    }

    async fn say(&mut self, lines: &str) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{lines}\r\n").as_bytes()).await?;
        stream.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// What stands between the angle brackets.
fn address(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(text, |(address, _)| address).to_owned()
}

fn decoded(text: &str) -> String {
    BASE64_STANDARD.decode(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
