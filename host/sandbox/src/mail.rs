//! Mail, handed to the one server that the operator named.
//!
//! The connections are kept by us: the library's own pool takes back a connection whose mail was broken off in
//! the middle, and the next mail would become a part of that one.

mod config;
mod connection;
mod error;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use lettre::{
    address::Envelope,
    transport::smtp::{
        self,
        client::AsyncSmtpConnection,
        commands,
        extension::{MailBodyParameter, MailParameter},
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout, timeout_at},
};

pub use config::{MailConfig, MailConfigError};
pub(crate) use error::Error;

use connection::Dialer;

/// For name, TCP, TLS, greeting and login together. Leaves time for another attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first command of a mail to the server's word that it has it: servers look into mail meanwhile.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(30);
/// Whether an idle connection is still good.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections at a time; more mails wait within their time. Protects the server.
const CONNECTIONS_MAX: usize = 16;
/// Connections that wait for another mail.
const IDLE_MAX: usize = 4;
/// How long they wait. Shorter than servers do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Mails of one connection: servers close it after so many.
const MAILS_PER_CONNECTION: u32 = 100;

/// One for the whole host. Connects at the first mail.
pub(crate) struct Mailer {
    config: Arc<MailConfig>,
    dialer: Dialer,
    turns: Semaphore,
    idle: Arc<Mutex<Idle>>,
}

/// A mail in the form in which it leaves.
pub(crate) struct Mail {
    pub(crate) envelope: Envelope,
    /// Without the end of the last line, which is added on the way.
    pub(crate) bytes: Vec<u8>,
}

#[derive(Default)]
struct Idle {
    lines: Vec<Line>,
    /// A sweeper is on its way.
    swept: bool,
}

/// A connection on which no mail is under way.
struct Line {
    connection: AsyncSmtpConnection,
    mails: u32,
    since: Instant,
}

impl Mailer {
    pub(crate) fn new(config: MailConfig) -> Self {
        let config = Arc::new(config);
        let dialer = Dialer::new(Arc::clone(&config));
        Self { config, dialer, turns: Semaphore::new(CONNECTIONS_MAX), idle: Arc::default() }
    }

    pub(crate) fn config(&self) -> &MailConfig {
        &self.config
    }

    /// Hands a mail over; done when the server has taken it. Needs a runtime. Dropping the future closes the
    /// connection, and the server forgets what it has of the mail.
    pub(crate) async fn send(&self, mail: &Mail, deadline: Instant) -> Result<(), Error> {
        let sent = timeout_at(deadline, self.hand_over(mail)).await;
        sent.unwrap_or_else(|_| Err(Error::late(&self.config, "sending", None)))
    }

    async fn hand_over(&self, mail: &Mail) -> Result<(), Error> {
        let turn = self.turns.acquire().await;
        let mut line = match self.take().await {
            Some(line) => line,
            None => self.connect().await?,
        };
        match timeout(HAND_OVER_TIMEOUT, mail.hand_over(&mut line.connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                if error.status().is_some() {
                    // It answers, so that it is told good-bye; nobody waits for that.
                    tokio::spawn(line.close());
                }
                return Err(Error::of(&self.config, &error));
            }
            Err(_) => return Err(Error::late(&self.config, "taking the mail", Some(HAND_OVER_TIMEOUT))),
        }
        line.mails += 1;
        self.put(line);
        drop(turn);
        Ok(())
    }

    async fn connect(&self) -> Result<Line, Error> {
        match timeout(CONNECT_TIMEOUT, self.dialer.open()).await {
            Ok(opened) => Ok(Line { connection: opened?, mails: 0, since: Instant::now() }),
            Err(_) => Err(Error::late(&self.config, "connecting", Some(CONNECT_TIMEOUT))),
        }
    }

    /// An idle connection that the server has not closed.
    async fn take(&self) -> Option<Line> {
        loop {
            let mut line = self.idle.lock().lines.pop()?;
            if matches!(timeout(PROBE_TIMEOUT, line.connection.test_connected()).await, Ok(true)) {
                return Some(line);
            }
        }
    }

    fn put(&self, mut line: Line) {
        if line.mails >= MAILS_PER_CONNECTION || line.connection.has_broken() {
            return;
        }
        line.since = Instant::now();
        let mut idle = self.idle.lock();
        if idle.lines.len() >= IDLE_MAX {
            // The socket is closed outside the lock.
            drop(idle);
            return;
        }
        idle.lines.push(line);
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.idle)));
        }
    }
}

impl Mail {
    /// Not the library's own way, which waits for an answer to its good-bye before it tells of an error.
    async fn hand_over(&self, connection: &mut AsyncSmtpConnection) -> Result<(), smtp::Error> {
        let sender = self.envelope.from();
        let all = self.envelope.to().iter().chain(sender);
        let mut parameters = Vec::new();
        if !all.map(AsRef::<str>::as_ref).all(str::is_ascii) {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !self.bytes.is_ascii() {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        connection.command(commands::Mail::new(sender.cloned(), parameters)).await?;
        for recipient in self.envelope.to() {
            connection.command(commands::Rcpt::new(recipient.clone(), Vec::new())).await?;
        }
        connection.command(commands::Data).await?;
        connection.message(&self.bytes).await.map(|_| ())
    }
}

impl Line {
    /// With a good-bye, where the server still listens.
    async fn close(mut self) {
        let _ = timeout(PROBE_TIMEOUT, self.connection.quit()).await;
    }
}

/// Lives as long as something is idle.
async fn sweep(idle: Weak<Mutex<Idle>>) {
    loop {
        sleep(IDLE_TIMEOUT).await;
        let Some(idle) = idle.upgrade() else { return };
        let (old, done) = {
            let mut idle = idle.lock();
            let old: Vec<Line> =
                idle.lines.extract_if(.., |line| line.since.elapsed() >= IDLE_TIMEOUT).collect();
            idle.swept = !idle.lines.is_empty();
            (old, !idle.swept)
        };
        drop(idle);
        for line in old {
            line.close().await;
        }
        if done {
            return;
        }
    }
}
