//! Secrets on their way out: placeholders are swapped in headers, query and body, and only on the way to where the
//! secret is bound.
//!
//! Only the placeholders of this very call are looked for: other text that looks like one is data.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use memchr::memmem;
use percent_encoding::percent_encode;
use stepcell_core::grant::{HttpRule, Yaml};
use zeroize::Zeroizing;

use super::{
    Denied, Error, Request, Target,
    encode::{self, BodyForm},
    replace::{Pattern, TooLong, replaced},
};
use crate::{access::Access, vault::Swap};

/// The parts of a request that can hold secrets, as they go out.
pub(super) struct Dressed<'a> {
    pub(super) path_and_query: Cow<'a, str>,
    pub(super) headers: Cow<'a, HeaderMap>,
    /// Overwritten when it is no longer needed, where it holds a secret.
    pub(super) body: Bytes,
}

/// Puts secrets in the place of their placeholders, once it is known that all of them may go there. `body_max` is
/// how long the body may become.
pub(super) fn dress<'a>(
    request: &'a Request,
    access: &Access,
    body_max: usize,
) -> Result<Dressed<'a>, Error> {
    let plain = Dressed {
        path_and_query: Cow::Borrowed(request.target.path_and_query()),
        headers: Cow::Borrowed(&request.headers),
        body: request.body.clone(),
    };
    let used: Vec<&Swap> = request.swaps.iter().filter(|swap| is_used(swap, request)).collect();
    if used.is_empty() {
        return Ok(plain);
    }
    for swap in &used {
        permit(swap, access, &request.target, &request.method)?;
    }
    Ok(Dressed {
        path_and_query: query(request, &used)?.map_or(plain.path_and_query, Cow::Owned),
        headers: Cow::Owned(headers(request, &used)?),
        body: body(request, &used, body_max)?.unwrap_or(plain.body),
    })
}

/// Refuses placeholders where no secret can stand: a path and a host are in every log, a name is no value.
pub(super) fn check_places(request: &Request) -> Result<(), Error> {
    let url = request.target.url().as_str();
    let before_query = url.split_once('?').map_or(url, |(place, _)| place);
    for swap in &request.swaps {
        let holds = |text: &[u8]| holds(text, swap);
        let place = if holds(before_query.as_bytes()) {
            "host or path"
        } else if request.headers.keys().any(|name| holds(name.as_str().as_bytes())) {
            "name of a header"
        } else if request.trailers.values().any(|value| holds(value.as_bytes())) {
            "trailer"
        } else {
            continue;
        };
        let reason =
            format!("the secret `{}` can not stand in a {place}, only in headers, query and body", swap.name);
        return Err(invalid(request, reason));
    }
    Ok(())
}

/// Removes the headers that hold a secret which may not go to `target`, as a redirect drops credentials.
pub(super) fn strip(request: &mut Request, access: &Access, target: &Target) {
    let (swaps, method) = (&request.swaps, &request.method);
    let unbound: Vec<&Swap> =
        swaps.iter().filter(|swap| permit(swap, access, target, method).is_err()).collect();
    if unbound.is_empty() {
        return;
    }
    let kept =
        request.headers.iter().filter(|(_, value)| !unbound.iter().any(|swap| holds(value.as_bytes(), swap)));
    request.headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
}

/// Whether the secret may go there: granted at every level, and bound to the place.
fn permit(swap: &Swap, access: &Access, target: &Target, method: &Method) -> Result<(), Denied> {
    let name = &*swap.name;
    let denied = |reason: String, allow: String| Denied {
        capability: "secrets",
        target: format!("secret.{name} at {}", target.origin()),
        reason,
        allow: Some(allow),
    };
    if let Some(refuser) = access.refuses_secret(name) {
        let reason = access.reason(refuser, "the secret");
        let add = access.allow(refuser, |grant| {
            grant.secrets.get_or_insert_default().insert(name.to_owned());
        });
        return Err(denied(reason, add));
    }
    if swap.hosts.iter().any(|rule| rule.admits(target, method)) {
        return Ok(());
    }
    let bound: serde_json::Value =
        std::iter::once(target.origin().into()).chain(swap.hosts.iter().map(HttpRule::to_value)).collect();
    let name = serde_json::Value::from(name);
    let allow = format!("secrets:\n  {}: {{ hosts: {} }}", Yaml(&name), Yaml(&bound));
    Err(denied("the secret is not bound to that place".to_owned(), allow))
}

fn is_used(swap: &Swap, request: &Request) -> bool {
    request.target.url().query().is_some_and(|query| holds(query.as_bytes(), swap))
        || request.headers.values().any(|value| holds(value.as_bytes(), swap))
        || holds(&request.body, swap)
}

fn holds(text: &[u8], swap: &Swap) -> bool {
    memmem::find(text, swap.placeholder.as_bytes()).is_some()
}

fn query(request: &Request, used: &[&Swap]) -> Result<Option<String>, Error> {
    let Some((path, query)) = request.target.path_and_query().split_once('?') else { return Ok(None) };
    let swaps =
        used.iter().map(|swap| (*swap, percent_encode(&swap.value, encode::QUERY).to_string().into_bytes()));
    let max = stepcell_core::grant::target::MAX_URL_BYTES;
    let whole = swapped(query.as_bytes(), swaps, max).map_err(|TooLong| {
        invalid(request, format!("the address is longer than {max} bytes once its secrets stand in it"))
    })?;
    let text = |query: Zeroizing<Vec<u8>>| format!("{path}?{}", String::from_utf8_lossy(&query));
    Ok(whole.map(text))
}

fn headers(request: &Request, used: &[&Swap]) -> Result<HeaderMap, Error> {
    let mut headers = request.headers.clone();
    for (name, value) in &mut headers {
        let Some(holder) = used.iter().find(|swap| holds(value.as_bytes(), swap)) else { continue };
        let whole =
            swapped(value.as_bytes(), used.iter().map(|swap| (*swap, swap.value.to_vec())), usize::MAX);
        let whole = whole.ok().flatten().unwrap_or_default();
        // Neither the value nor the error, which may quote it, is repeated.
        *value = HeaderValue::from_bytes(&whole).map_err(|_| {
            let secret = &holder.name;
            invalid(
                request,
                format!(
                    "with the secret `{secret}` the header `{name}` holds a line break or control character"
                ),
            )
        })?;
        value.set_sensitive(true);
    }
    // What is packed can not be searched for the secret when it comes back.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(headers)
}

fn body(request: &Request, used: &[&Swap], max: usize) -> Result<Option<Bytes>, Error> {
    let form = BodyForm::of(&request.headers);
    let mut swaps = Vec::with_capacity(used.len());
    for swap in used.iter().filter(|swap| holds(&request.body, swap)) {
        let value = form.encode(&swap.value).ok_or_else(|| {
            invalid(request, format!("the secret `{}` is no text, which JSON needs", swap.name))
        })?;
        swaps.push((*swap, value));
    }
    let whole = swapped(&request.body, swaps.into_iter(), max)
        .map_err(|TooLong| Error::request_too_large(&request.target.peer(), max))?;
    Ok(whole.map(Bytes::from_owner))
}

fn swapped<'a>(
    text: &[u8],
    swaps: impl Iterator<Item = (&'a Swap, Vec<u8>)>,
    max: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, TooLong> {
    let swaps: Vec<(&Swap, Zeroizing<Vec<u8>>)> =
        swaps.map(|(swap, value)| (swap, Zeroizing::new(value))).collect();
    let patterns: Vec<Pattern<'_>> =
        swaps.iter().filter_map(|(swap, value)| Pattern::new(swap.placeholder.as_bytes(), value)).collect();
    replaced(text, &patterns, max)
}

fn invalid(request: &Request, reason: String) -> Error {
    Error::Invalid { target: request.target.shown(), reason }
}

#[cfg(test)]
mod tests;
