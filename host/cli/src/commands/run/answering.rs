//! Approvals and events that a run in this process waits for: asked for at a terminal, or told to be out of reach.

use std::{
    collections::VecDeque,
    io::{self, BufRead, IsTerminal, Write},
};

use serde_json::Value;
use stepcell_core::{
    Event, EventKind, Json, RunId, StepId,
    event::Wait,
    parse::{Document, Format},
    run::{RunState, StepStatus},
};
use stepcell_engine::{Engine, Resume};
use tokio::task::JoinHandle;

use crate::{
    error::Error,
    flow_file::INPUT_BYTES_MAX,
    listing::Listing,
    live::Live,
    text,
    waiting::{Asked, Waiting, sketch},
};

/// What a run waits for and nobody in this process can bring.
pub(super) const OUT_OF_REACH: &str =
    "the run waits for what can not come: nobody can answer in this process";
const HINT: &str =
    "  hint: start `stepcell serve` and `stepcell submit` the flow: there it waits until it is answered";

/// The waits of one run.
#[derive(Debug)]
pub(super) struct Answering {
    run: RunId,
    /// Somebody sits at the terminal. Else waits are told, and nothing is asked.
    interactive: bool,
    /// Approvals to ask for, one after the other.
    open: VecDeque<(StepId, Asked)>,
    /// The one that is being asked for.
    asking: Option<JoinHandle<io::Result<Option<Reply>>>>,
}

/// What was said to an approval.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    step: StepId,
    approved: bool,
    payload: Json,
}

impl Answering {
    pub(super) fn new(run: RunId) -> Self {
        let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { run, interactive, open: VecDeque::new(), asking: None }
    }

    /// Takes up what an event asks for. Whether the run waits for what can not come, and for nothing else.
    pub(super) fn event(&mut self, event: &Event, live: &Live) -> bool {
        match (&event.kind, &event.step) {
            (EventKind::StepWaiting(waiting), Some(step)) => self.waiting(step, &waiting.wait, live),
            // It was answered, timed out or cancelled in the meantime.
            (EventKind::StepResumed(_) | EventKind::StepCancelled, Some(step)) => {
                self.open.retain(|(open, _)| open != step);
            }
            _ => {}
        }
        let parked = matches!(event.kind, EventKind::RunWaiting);
        parked && self.open.is_empty() && live.state().is_some_and(is_stuck)
    }

    /// Asks the person at the terminal for the next approval; `None` where the person ends the input instead. Never done
    /// where there is nothing to ask. May be dropped and called again: the question stands.
    pub(super) async fn reply(&mut self, live: &Live) -> Result<Option<Reply>, Error> {
        let Some((step, asked)) = self.open.front() else { return std::future::pending().await };
        let asking = self.asking.get_or_insert_with(|| {
            live.hide();
            let (step, asked) = (step.clone(), asked.clone());
            // The thread may outlive the question: a read from a terminal can not be taken back.
            tokio::task::spawn_blocking(move || {
                let said = converse(&mut io::stdin().lock(), &mut io::stderr(), &step, &asked)?;
                Ok(said.map(|(approved, payload)| Reply { step, approved, payload }))
            })
        });
        let reply = asking.await;
        self.asking = None;
        live.unhide();
        let reply = reply.map_err(|error| Error::system("asking at the terminal was cut short", error))?;
        let reply = reply.map_err(|error| Error::system("the terminal can not be read", error))?;
        if reply.is_none() {
            // Nobody is there to be asked any more.
            self.open.clear();
        }
        Ok(reply)
    }

    /// Gives the engine what was said. An approval whose payload does not fit is asked for again.
    pub(super) async fn resume(&mut self, engine: &Engine, reply: Reply, live: &Live) -> Result<(), Error> {
        let Reply { step, approved, payload } = reply;
        let by = std::env::var("USER").ok().filter(|by| !by.is_empty());
        let resume = Resume { step: Some(step.to_string()), payload, approved: Some(approved), by };
        match engine.resume(self.run, resume).await {
            Err(stepcell_engine::Error::PayloadInvalid(problems)) => {
                live.say(text::safe(&Listing::new("payload", problems).to_string()).trim_end());
                return Ok(());
            }
            // Its time was over, or the run was cancelled, while the answer was given.
            Ok(_)
            | Err(
                stepcell_engine::Error::NotWaiting { .. }
                | stepcell_engine::Error::AlreadyResumed { .. }
                | stepcell_engine::Error::Finished { .. },
            ) => {}
            Err(error) => return Err(Error::engine(error)),
        }
        self.open.retain(|(open, _)| *open != step);
        Ok(())
    }

    fn waiting(&mut self, step: &StepId, wait: &Wait, live: &Live) {
        let Waiting::Signal(asked) = Waiting::from(wait) else { return };
        if self.interactive && asked.is_approval() {
            self.open.push_back((step.clone(), asked));
            return;
        }
        live.say(&format!("`{}` waits {}, which can not come in this process", step, asked.summary()));
        live.say(HINT);
    }
}

/// Whether a parked run waits for signals alone, none of which has a deadline.
fn is_stuck(state: &RunState) -> bool {
    let goes_on = state.steps.values().any(|step| match (step.status, &step.wait) {
        (StepStatus::Waiting, Some(Wait::Signal { deadline, .. })) => deadline.is_some(),
        // A fan-out waits for its items, which are steps themselves.
        (StepStatus::Waiting, Some(Wait::Items { .. })) => false,
        (StepStatus::Waiting | StepStatus::Running, _) => true,
        _ => step.retry_at.is_some(),
    });
    state.deadline.is_none() && !goes_on
}

/// Asks until there is an answer; `None` where the person ends the input instead.
fn converse(
    input: &mut impl BufRead,
    out: &mut impl Write,
    step: &StepId,
    asked: &Asked,
) -> io::Result<Option<(bool, Json)>> {
    writeln!(out, "`{step}` waits {}", asked.summary())?;
    if let Some(instructions) = asked.instructions() {
        writeln!(out, "  {instructions}")?;
    }
    let approved = loop {
        let Some(answer) = ask(input, out, "  approve? [y/n] ")? else { return Ok(None) };
        match answer.to_ascii_lowercase().as_str() {
            "y" | "yes" => break true,
            "n" | "no" => break false,
            _ => writeln!(out, "  y for yes, n for no; Ctrl-C cancels the run")?,
        }
    };
    let Some(schema) = asked.schema().filter(|_| approved) else {
        return Ok(Some((approved, Json::null())));
    };
    writeln!(out, "  the payload has to fit {}", text::line(&Value::Object(schema.clone()).to_string()))?;
    let question = format!("  payload, such as {}: ", text::line(&sketch(&schema).to_string()));
    loop {
        let Some(answer) = ask(input, out, &question)? else { return Ok(None) };
        match Document::read(&answer, Format::Yaml, INPUT_BYTES_MAX) {
            Ok(document) => return Ok(Some((approved, document.value().into()))),
            Err(problems) => write!(out, "{}", text::safe(&Listing::new("payload", problems).to_string()))?,
        }
    }
}

/// The line that answers a question, without the blanks around it; `None` at the end of the input.
fn ask(input: &mut impl BufRead, out: &mut impl Write, question: &str) -> io::Result<Option<String>> {
    write!(out, "{question}")?;
    out.flush()?;
    let mut line = Vec::new();
    let limit = u64::try_from(INPUT_BYTES_MAX).unwrap_or(u64::MAX);
    let read = io::Read::take(input, limit).read_until(b'\n', &mut line)?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stepcell_engine::APPROVAL;

    use super::*;

    fn said(typed: &str, form: Option<Value>) -> (Option<(bool, Json)>, String) {
        let asked = Asked { name: APPROVAL.to_owned(), form, matching: None, deadline: None };
        let mut out = Vec::new();
        let step = StepId::new("approve").unwrap();
        let reply = converse(&mut typed.as_bytes(), &mut out, &step, &asked).unwrap();
        (reply, String::from_utf8(out).unwrap())
    }

    #[track_caller]
    fn check(typed: &str, form: Option<Value>, approved: bool, payload: &str) {
        let payload = Json::parse(payload.to_owned()).unwrap();
        assert_eq!(said(typed, form).0, Some((approved, payload)), "{typed}");
    }

    #[test]
    fn yes_and_no_are_all_that_is_asked_without_a_form() {
        check("y\n", None, true, "null");
        check(" YES \n", Some(json!({"title": "Large order"})), true, "null");
        check("maybe\nn\n", None, false, "null");
        check("n\n", Some(json!({"type": "object"})), false, "null");
    }

    #[test]
    fn a_form_is_filled_in_on_one_line() {
        let form = json!({"type": "object", "properties": {"amount": {"type": "number"}}});
        check("y\n{amount: 17}\n", Some(form.clone()), true, r#"{"amount": 17}"#);
        check("y\n{amount: [\n{\"amount\": 3}\n", Some(form), true, r#"{"amount": 3}"#);
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        assert_eq!(said("", None).0, None);
        assert_eq!(said("y\n", Some(json!({"type": "object"}))).0, None);
    }

    #[test]
    fn the_questions_read_like_this() {
        let form = json!({
            "title": "Large order", "description": "Look at the total", "type": "object",
            "required": ["amount"], "properties": {"amount": {"type": "number"}},
        });
        insta::assert_snapshot!(said("y\namount: 1\n", Some(form)).1);
    }
}
