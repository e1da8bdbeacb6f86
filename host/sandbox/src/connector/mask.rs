//! Secrets on their way back: what a peer echoes shows the placeholder again.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use super::{
    Denied, Error, Response, encode,
    replace::{Pattern, TooLong, replaced},
};
use crate::vault::Swap;

/// Header value of `secrets.basic`: what follows is the base64 of user, colon and secret.
const BASIC: &[u8] = b"Basic ";

/// The bytes to hide, in all the forms in which they may have been sent, with what to show instead.
pub(super) struct Mask<'a> {
    hidden: Vec<(Zeroizing<Vec<u8>>, &'a [u8])>,
}

impl<'a> Mask<'a> {
    pub(super) fn new(swaps: &'a [Swap]) -> Self {
        let mut hidden = Vec::new();
        for swap in swaps {
            let shown = swap.placeholder.as_bytes();
            let mut hide = |secret: &[u8]| {
                hidden.extend(encode::forms(secret).into_iter().map(|form| (Zeroizing::new(form), shown)));
            };
            hide(&swap.value);
            if let Some(token) = swap.value.strip_prefix(BASIC) {
                hide(token);
                let pair = Zeroizing::new(STANDARD.decode(token).unwrap_or_default());
                let secret = pair.iter().position(|byte| *byte == b':').and_then(|at| pair.get(at + 1..));
                hide(secret.unwrap_or_default());
            }
        }
        Self { hidden }
    }

    /// Masks all of a response. `body_max` is how long its body may become.
    pub(super) fn response(&self, mut response: Response, body_max: usize) -> Result<Response, TooLong> {
        if self.hidden.is_empty() {
            return Ok(response);
        }
        let patterns = self.patterns();
        // The name of a header has small letters only.
        let lower =
            |(secret, shown): &(Zeroizing<Vec<u8>>, _)| (Zeroizing::new(secret.to_ascii_lowercase()), *shown);
        let hidden_in_names: Vec<_> = self.hidden.iter().map(lower).collect();
        let in_names = patterns_of(&hidden_in_names);
        for headers in [&mut response.headers, &mut response.trailers] {
            mask_names(headers, &in_names);
            mask_values(headers, &patterns);
        }
        response.url = masked_text(response.url, &patterns);
        if let Some(mut body) = replaced(&response.body, &patterns, body_max)? {
            response.body = std::mem::take(&mut *body);
            // It speaks of the body that was received.
            if response.headers.contains_key(header::CONTENT_LENGTH) {
                response.headers.insert(header::CONTENT_LENGTH, response.body.len().into());
            }
        }
        Ok(response)
    }

    /// Masks what an error says, which may quote a peer.
    pub(super) fn error(&self, error: Error) -> Error {
        if self.hidden.is_empty() {
            return error;
        }
        let patterns = self.patterns();
        let text = |text: String| masked_text(text, &patterns);
        match error {
            Error::Denied(Denied { capability, target, reason, allow }) => {
                let (target, reason, allow) = (text(target), text(reason), allow.map(text));
                Error::Denied(Denied { capability, target, reason, allow })
            }
            Error::Invalid { target, reason } => {
                Error::Invalid { target: text(target), reason: text(reason) }
            }
            Error::Unavailable { peer, phase, reason } => {
                Error::Unavailable { peer: text(peer), phase, reason: text(reason) }
            }
            Error::Timeout { peer, phase, after } => Error::Timeout { peer: text(peer), phase, after },
            Error::Limit { bound, message } => Error::Limit { bound, message: text(message) },
        }
    }

    /// Masks a header of a peer that is acted upon: the secret in it is the placeholder from here on.
    pub(super) fn value(&self, value: &HeaderValue) -> Option<HeaderValue> {
        masked_value(value, &self.patterns())
    }

    fn patterns(&self) -> Vec<Pattern<'_>> {
        patterns_of(&self.hidden)
    }
}

fn patterns_of<'p>(hidden: &'p [(Zeroizing<Vec<u8>>, &'p [u8])]) -> Vec<Pattern<'p>> {
    hidden.iter().filter_map(|(secret, shown)| Pattern::new(secret, shown)).collect()
}

fn mask_names(headers: &mut HeaderMap, patterns: &[Pattern<'_>]) {
    let masked = |name: &HeaderName| replaced(name.as_str().as_bytes(), patterns, usize::MAX).ok().flatten();
    if !headers.keys().any(|name| masked(name).is_some()) {
        return;
    }
    for (name, value) in std::mem::take(headers).iter() {
        match masked(name).map(|name| HeaderName::from_bytes(&name)) {
            None => _ = headers.append(name, value.clone()),
            Some(Ok(name)) => _ = headers.append(name, value.clone()),
            // Too long now; without it nothing is told.
            Some(Err(_)) => {}
        }
    }
}

fn mask_values(headers: &mut HeaderMap, patterns: &[Pattern<'_>]) {
    for value in headers.values_mut() {
        if let Some(masked) = masked_value(value, patterns) {
            *value = masked;
        }
    }
}

fn masked_value(value: &HeaderValue, patterns: &[Pattern<'_>]) -> Option<HeaderValue> {
    let masked = replaced(value.as_bytes(), patterns, usize::MAX).ok().flatten()?;
    HeaderValue::from_bytes(&masked).ok()
}

fn masked_text(text: String, patterns: &[Pattern<'_>]) -> String {
    match replaced(text.as_bytes(), patterns, usize::MAX) {
        Ok(Some(masked)) => String::from_utf8_lossy(&masked).into_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests;
