//! Mail: what a cell gets for `stepcell:email/email`.

mod compose;

use stepcell_core::grant::RecipientPattern;
use tokio_util::task::AbortOnDropHandle;

use super::{Session, allow::Refusal};
use crate::{
    bindings::stepcell::email::email::{Failure, Host, Message},
    limits::Bytes,
    mail::Error,
};

use compose::Draft;

/// What to add where the config names no mail server.
const CONFIGURED: &str =
    "email: { url: \"smtps://USER:PASSWORD@mail.example.com\", from: flows@example.com }";

impl Session {
    /// Refuses a mail to the first recipient whom somebody does not admit.
    fn check_recipients(&mut self, draft: &Draft) -> Result<(), Failure> {
        for address in draft.recipients() {
            let Some(refuser) = self.access.refuses_recipient(address) else { continue };
            let reason = self.access.reason(refuser, "mail to this address");
            let allow = self.access.allow(refuser, |grant| {
                // An address that no pattern can name, such as one in quotes, has no line.
                grant.email.get_or_insert_default().extend(RecipientPattern::of_one(address));
            });
            let refusal = Refusal { capability: "email", target: address, reason, allow };
            return Err(Failure::Denied(self.refuse(refusal)));
        }
        Ok(())
    }

    /// The same on every attempt, so that whoever gets a mail twice can tell.
    fn message_id(&mut self, domain: &str) -> Result<String, Failure> {
        let Some(step) = &self.caller.step else {
            return Err(Failure::Denied("there is no step that could send it".to_owned()));
        };
        self.mails += 1;
        let hash = self.services.vault.mail(self.caller.run, step, self.mails);
        Ok(format!("<{hash}@{domain}>"))
    }

    fn no_server(&mut self) -> Failure {
        let reason = "the config names no mail server".to_owned();
        let refusal = Refusal { capability: "email", target: "email", reason, allow: CONFIGURED.to_owned() };
        Failure::Denied(self.refuse(refusal))
    }
}

impl Host for Session {
    async fn send(&mut self, message: Message) -> Result<String, Failure> {
        let draft = Draft::of(message).map_err(Failure::Invalid)?;
        self.check_recipients(&draft)?;
        let Some(mailer) = self.services.mailer.clone() else { return Err(self.no_server()) };
        let most = self.limits.request.value;
        if draft.bytes() > most {
            return Err(too_large(draft.bytes(), most));
        }
        let from = mailer.config().from.clone();
        let id = self.message_id(from.email.domain())?;
        let mail = draft.finish(from, &id).map_err(Failure::Invalid)?;
        // Its encoding made it larger.
        let bytes = mail.bytes.len() as u64;
        if bytes > most {
            return Err(too_large(bytes, most));
        }
        self.count_request(bytes).map_err(|spent| Failure::Limit(spent.to_string()))?;
        let deadline = self.deadline.into();
        let server = mailer.config().server();
        let sending = async move { mailer.send(&mail, deadline).await };
        let sending = AbortOnDropHandle::new(self.services.runtime.spawn(sending));
        match self.ledger.wait_for(&server, sending).await {
            Ok(Ok(())) => Ok(id),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::Unavailable("the host stops".to_owned())),
        }
    }
}

fn too_large(bytes: u64, most: u64) -> Failure {
    let (bytes, most) = (Bytes(bytes), Bytes(most));
    Failure::Invalid(format!("the mail has {bytes}, of {most} that `limits.request` allows"))
}

fn failure(error: &Error) -> Failure {
    let message = error.to_string();
    match error {
        Error::Rejected { .. } => Failure::Rejected(message),
        Error::Unavailable { .. } => Failure::Unavailable(message),
        Error::Timeout { .. } => Failure::Timeout(message),
    }
}

#[cfg(test)]
mod tests;
