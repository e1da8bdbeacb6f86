//! A question in the one shape that all providers share.

use std::num::NonZeroU32;

use stepcell::{prelude::*, serde_json::Number};

use crate::{
    config::{Config, Message, Role, invalid},
    provider::Provider,
};

/// What to ask, checked.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) model: String,
    /// Not empty where there.
    pub(crate) system: Option<String>,
    /// At least one, none of them of role `system`.
    pub(crate) messages: Vec<Message>,
    pub(crate) max_tokens: Option<NonZeroU32>,
    pub(crate) temperature: Option<Number>,
}

impl Ask {
    pub(crate) fn of(config: Config) -> Result<Self, Failure> {
        if config.model.trim().is_empty() {
            return Err(invalid("`config.model` is empty"));
        }
        if config.provider == Provider::OpenaiCompatible && config.base_url.is_none() {
            return Err(invalid(
                "`config.base_url` is missing: `openai_compatible` names no server by itself",
            ));
        }
        let messages = conversation(config.prompt, config.messages)?;
        let (system, messages) = split(config.system_prompt, messages)?;
        let Config { model, max_tokens, temperature, .. } = config;
        Ok(Self { model, system, messages, max_tokens, temperature })
    }
}

/// A bare prompt is a conversation of one message.
fn conversation(prompt: Option<String>, messages: Option<Vec<Message>>) -> Result<Vec<Message>, Failure> {
    let messages = match (prompt, messages) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "both `config.prompt` and `config.messages` are there: one of them is enough",
            ));
        }
        (None, None) => return Err(invalid("`config.prompt` or `config.messages` is missing")),
        (Some(prompt), None) if prompt.trim().is_empty() => return Err(invalid("`config.prompt` is empty")),
        (Some(content), None) => vec![Message { role: Role::User, content }],
        (None, Some(messages)) => messages,
    };
    match messages.iter().position(|message| message.content.trim().is_empty()) {
        Some(index) => Err(invalid(format!("`config.messages[{index}].content` is empty"))),
        None => Ok(messages),
    }
}

/// Takes what the model is to keep to out of the conversation: two of the three formats have a place of its own for it,
/// at the beginning.
fn split(
    system_prompt: Option<String>,
    messages: Vec<Message>,
) -> Result<(Option<String>, Vec<Message>), Failure> {
    let first = messages.iter().take_while(|message| message.role == Role::System).count();
    let late = messages.iter().skip(first).position(|message| message.role == Role::System);
    if let Some(late) = late {
        return Err(invalid(format!(
            "`config.messages[{}]` is of role `system` and comes after another one: such messages come first",
            first + late
        )));
    }
    if messages.len() == first {
        return Err(invalid("`config.messages` holds no message of role `user`"));
    }
    let mut messages = messages.into_iter();
    let mut system: Vec<String> = system_prompt.into_iter().filter(|text| !text.trim().is_empty()).collect();
    system.extend(messages.by_ref().take(first).map(|message| message.content));
    Ok(((!system.is_empty()).then(|| system.join("\n\n")), messages.collect()))
}

#[cfg(test)]
mod tests {
    use stepcell::serde_json::from_value;

    use super::*;

    fn ask(mut config: Value) -> Result<Ask, Failure> {
        config["provider"] = json!("openai");
        config["model"] = json!("m");
        Ask::of(from_value(config).unwrap())
    }

    #[track_caller]
    fn check_refused(config: Value, message: &str) {
        let failure = ask(config).unwrap_err();
        assert_eq!((failure.fault, &*failure.message), (Fault::Config, message));
    }

    fn message(role: Role, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    #[test]
    fn a_prompt_becomes_one_user_message() {
        assert_eq!(ask(json!({ "prompt": "Hi" })).unwrap().messages, [message(Role::User, "Hi")]);
    }

    #[test]
    fn what_to_keep_to_is_taken_together() {
        let messages = json!([
            { "role": "system", "content": "B" },
            { "role": "system", "content": "C" },
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": "Yes?" },
            { "role": "user", "content": "Go" },
        ]);
        let ask = ask(json!({ "system_prompt": "A", "messages": messages })).unwrap();
        assert_eq!(ask.system.as_deref(), Some("A\n\nB\n\nC"));
        let expected =
            [message(Role::User, "Hi"), message(Role::Assistant, "Yes?"), message(Role::User, "Go")];
        assert_eq!(ask.messages, expected);
    }

    #[test]
    fn it_is_one_of_prompt_and_messages() {
        check_refused(json!({}), "`config.prompt` or `config.messages` is missing");
        check_refused(
            json!({ "prompt": "a", "messages": [] }),
            "both `config.prompt` and `config.messages` are there: one of them is enough",
        );
    }

    #[test]
    fn nothing_is_not_asked() {
        check_refused(json!({ "prompt": " " }), "`config.prompt` is empty");
        check_refused(json!({ "messages": [] }), "`config.messages` holds no message of role `user`");
        check_refused(
            json!({ "messages": [{ "role": "user", "content": "" }] }),
            "`config.messages[0].content` is empty",
        );
    }

    #[test]
    fn a_late_system_message_is_refused() {
        let of = |role, content| json!({ "role": role, "content": content });
        check_refused(
            json!({ "messages": [of("system", "a"), of("user", "b"), of("system", "c")] }),
            "`config.messages[2]` is of role `system` and comes after another one: such messages come first",
        );
    }
}
