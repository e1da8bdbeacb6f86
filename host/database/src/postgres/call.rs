//! One statement: what is said before it and after it, in as few round trips as there can be.
//!
//! Everything is sent at once wherever the answer to one part does not decide over the next. A prepared statement
//! that reads costs one round trip, as it would without us, and so does one that writes and gives no rows. One that
//! writes and gives rows costs two: where they are more than the rule allows, it must not count.

use std::time::{Duration, Instant};

use futures_util::future::{join, try_join};
use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;
use tokio_postgres::{Client, Error as Refusal, Statement};

use super::{
    error::Origin,
    params::{self, Param},
    rows,
    session::{RESET, Session, UNDO},
};
use crate::{Error, Rows, Rule};

/// So much earlier than we do the server gives a statement up, where there is as much time: its answer is better
/// than to hang up on it.
const HEAD_START: Duration = Duration::from_millis(50);

pub(super) struct Call<'a> {
    pub(super) text: &'a str,
    pub(super) params: &'a [Value],
    pub(super) rule: &'a Rule,
    /// Else rows are counted and dropped.
    pub(super) wants_rows: bool,
    pub(super) role: Option<&'a str>,
    pub(super) origin: &'a Origin,
}

/// What a statement gave.
pub(super) struct Outcome {
    pub(super) rows: Rows,
    /// Rows, as the server counts them.
    pub(super) affected: u64,
}

/// How a call ended.
pub(super) struct Ended<T> {
    pub(super) result: Result<T, Failed>,
    /// Whether the server has answered everything, so that the session can be used on. Where not, more rows may be
    /// on the way, or the connection broke.
    pub(super) is_clean: bool,
    /// Whether the connection knew the statement from an earlier call, before some table may have been changed.
    pub(super) was_known: bool,
}

pub(super) enum Failed {
    /// By the server, or there is none any more.
    Refused(Refusal),
    Ours(Error),
}

/// What ends a transaction.
#[derive(Clone, Copy)]
pub(super) enum End {
    Undo,
    Commit,
}

impl Call<'_> {
    /// In a transaction of its own, which is over after it.
    pub(super) async fn alone(&self, session: &Session) -> Ended<Outcome> {
        let opening = opening(self.rule, self.role);
        let (statement, params, opening) = match self.ready(session, &opening).await {
            Ok(ready) => ready,
            Err(failed) => return close(session, Err(failed), End::Undo).await,
        };
        let was_known = opening.is_some();
        let end = match self.rule.access {
            DatabaseAccess::Read => End::Undo,
            _ if statement.columns().is_empty() => End::Commit,
            _ => {
                let ended = match self.run(session, opening, &statement, params).await {
                    Ok(Ok(outcome)) => close(session, Ok(outcome), End::Commit).await,
                    Ok(Err(refusal)) => close(session, Err(Failed::Refused(refusal)), End::Undo).await,
                    Err(error) => Ended::midway(error),
                };
                return Ended { was_known, ..ended };
            }
        };
        // In this order they are sent, all of it before the first answer.
        let ended = async { Ok(end.reach(session).await) };
        match try_join(self.run(session, opening, &statement, params), ended).await {
            Ok((ran, (ended, is_clean))) => {
                let result = ran.and_then(|outcome| ended.map(|()| outcome)).map_err(Failed::Refused);
                Ended { result, is_clean, was_known }
            }
            Err(error) => Ended::midway(error),
        }
    }

    /// In a transaction that is open and stays so. What the earlier statements did to the session does not reach
    /// this one: one of them may have left the role.
    pub(super) async fn within(&self, session: &Session) -> Ended<Outcome> {
        let bounds = bounds(self.rule, self.role);
        let (statement, params, bounds) = match self.ready(session, &bounds).await {
            Ok(ready) => ready,
            Err(failed) => {
                return Ended {
                    result: Err(failed),
                    is_clean: !session.client.is_closed(),
                    was_known: false,
                };
            }
        };
        let was_known = bounds.is_some();
        match self.run(session, bounds, &statement, params).await {
            Ok(result) => {
                let is_clean = !session.client.is_closed();
                Ended { result: result.map_err(Failed::Refused), is_clean, was_known }
            }
            Err(error) => Ended::midway(error),
        }
    }

    /// The statement with its parameters, and the opening where that is still to be sent: a statement that the
    /// connection does not know is prepared after it, so that its names mean what they mean to the role.
    async fn ready<'o>(
        &self,
        session: &Session,
        opening: &'o str,
    ) -> Result<(Statement, Vec<Param>, Option<&'o str>), Failed> {
        let known = session.statements.lock().get(self.text);
        let (statement, opening) = match known {
            Some(statement) => (statement, Some(opening)),
            None => {
                let client = &session.client;
                let (opened, prepared) = join(client.batch_execute(opening), client.prepare(self.text)).await;
                let statement = opened.and(prepared).map_err(Failed::Refused)?;
                session.statements.lock().keep(self.text, &statement);
                (statement, None)
            }
        };
        let params = params::encode(self.params, statement.params())
            .map_err(|reason| Failed::Ours(self.origin.invalid(&reason)))?;
        Ok((statement, params, opening))
    }

    /// The outer error is ours, and more may be on the way.
    async fn run(
        &self,
        session: &Session,
        opening: Option<&str>,
        statement: &Statement,
        params: Vec<Param>,
    ) -> Result<Result<Outcome, Refusal>, Error> {
        let opened = async {
            match opening {
                Some(opening) => Ok(session.client.batch_execute(opening).await),
                None => Ok(Ok(())),
            }
        };
        let (opened, answered) = try_join(opened, self.answer(&session.client, statement, params)).await?;
        Ok(opened.and(answered))
    }

    async fn answer(
        &self,
        client: &Client,
        statement: &Statement,
        params: Vec<Param>,
    ) -> Result<Result<Outcome, Refusal>, Error> {
        let stream = match client.query_raw(statement, params).await {
            Ok(stream) => std::pin::pin!(stream),
            Err(refusal) => return Ok(Err(refusal)),
        };
        rows::read(stream, statement.columns(), self).await
    }
}

impl<T> Ended<T> {
    fn midway(error: Error) -> Self {
        Self { result: Err(Failed::Ours(error)), is_clean: false, was_known: false }
    }
}

impl End {
    /// Whether it counts, and whether the session is clean after it.
    pub(super) async fn reach(self, session: &Session) -> (Result<(), Refusal>, bool) {
        let client = &session.client;
        match self {
            Self::Undo => {
                let undone = client.batch_execute(UNDO).await;
                let is_clean = undone.is_ok();
                (undone, is_clean)
            }
            Self::Commit => {
                let (committed, reset) =
                    join(client.batch_execute("COMMIT"), client.batch_execute(RESET)).await;
                (committed, reset.is_ok())
            }
        }
    }
}

pub(super) async fn close<T>(session: &Session, result: Result<T, Failed>, end: End) -> Ended<T> {
    let (ended, is_clean) = end.reach(session).await;
    let result = result.and_then(|done| ended.map(|()| done).map_err(Failed::Refused));
    Ended { result, is_clean, was_known: false }
}

/// Begins a transaction. That it can not be made one that writes is held by PostgreSQL once a first query ran in it,
/// and here one does.
pub(super) fn opening(rule: &Rule, role: Option<&str>) -> String {
    let begin = match rule.access {
        DatabaseAccess::Read => "BEGIN READ ONLY",
        // Not READ WRITE: the operator may have made another one the user's default.
        DatabaseAccess::Write | DatabaseAccess::Schema => "BEGIN",
    };
    format!("{begin}; {}", bounds(rule, role))
}

/// Role and time, until the transaction ends.
fn bounds(rule: &Rule, role: Option<&str>) -> String {
    let left = rule.deadline.saturating_duration_since(Instant::now());
    // Zero would mean no limit.
    let limit = left.saturating_sub(HEAD_START.min(left / 2)).as_millis().clamp(1, i32::MAX as u128);
    let mut bounds = format!("SELECT pg_catalog.set_config('statement_timeout', '{limit}', true)");
    if let Some(role) = role {
        bounds.push_str(&format!(", pg_catalog.set_config('role', {}, true)", literal(role)));
    }
    bounds
}

/// A string in SQL, whatever the server thinks of backslashes.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_literal_ends_where_it_should() {
        assert_eq!(super::literal(r"o'brien\"), r"E'o\'brien\\'");
    }
}
