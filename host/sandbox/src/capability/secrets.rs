//! Secrets that a step uses and never sees: what a cell gets for `stepcell:secrets/secrets`.

use std::sync::Arc;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stepcell_core::grant::check_name;
use zeroize::Zeroizing;

use super::{Session, allow::Refusal};
use crate::{
    bindings::stepcell::secrets::secrets::{Failure, Host},
    limits::Bytes,
    vault::{Secret, Swap},
};

/// Placeholders that one execution may hold. Bounds the search in each of its requests and responses.
const SWAPS_MAX: usize = 32;
/// The longest name of a user for `basic`.
const USER_BYTES_MAX: usize = 512;
/// What is hashed on the cell's own thread; more would keep it from the others.
const HASHED_IN_PLACE_MAX: usize = 32 << 10;
/// What begins a key in base64, as in Standard Webhooks.
const ENCODED_KEY: &[u8] = b"whsec_";
/// Of such a key: with or without the signs that fill it up.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Session {
    /// A secret that the step may use.
    fn secret(&mut self, name: &str) -> Result<Secret, Failure> {
        // It stands in lines that are pasted into the config.
        if check_name(name).is_err() {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(Failure::Invalid(format!("`{shown}` is no name of a secret")));
        }
        let found = self.services.vault.get(name).cloned();
        let refuser = self.access.refuses_secret(name);
        if let (Some(secret), None) = (&found, refuser) {
            return Ok(secret.clone());
        }
        let mut lines = Vec::new();
        if found.is_none() {
            lines.push(configured(name));
        }
        lines.extend(refuser.map(|refuser| {
            self.access.allow(refuser, |grant| {
                grant.secrets.get_or_insert_default().insert(name.to_owned());
            })
        }));
        let reason = match refuser {
            Some(refuser) => self.access.reason(refuser, &format!("the secret `{name}`")),
            None => "there is no such secret in the config".to_owned(),
        };
        let refusal = Refusal { capability: "secrets", target: name, reason, allow: lines.join("\n") };
        Err(Failure::Denied(self.refuse(refusal)))
    }

    /// Has a swap made in this execution's requests from now on; gives its placeholder.
    fn hold(&mut self, swap: Swap) -> Result<String, Failure> {
        let swaps = self.swaps();
        if !swaps.iter().any(|held| held.placeholder == swap.placeholder) {
            if swaps.len() >= SWAPS_MAX {
                let message = format!("a step may hold {SWAPS_MAX} placeholders of secrets, not more");
                return Err(Failure::Invalid(message));
            }
            swaps.push(swap.clone());
        }
        Ok(swap.placeholder.to_string())
    }

    /// The placeholder for a secret, or for what is made of it.
    fn named(&self, text: &str) -> Result<String, Failure> {
        match &self.caller.step {
            Some(step) => Ok(self.services.vault.placeholder(self.caller.run, step, text)),
            None => Err(Failure::Denied("there is no step that could use it".to_owned())),
        }
    }
}

impl Host for Session {
    async fn placeholder(&mut self, name: String) -> Result<String, Failure> {
        let secret = self.secret(&name)?;
        let placeholder = self.named(&name)?.into();
        self.hold(Swap { name: name.into(), placeholder, value: secret.shared(), hosts: secret.hosts })
    }

    async fn basic(&mut self, user: String, name: String) -> Result<String, Failure> {
        if user.len() > USER_BYTES_MAX || user.contains(|c: char| c == ':' || c.is_control()) {
            let message = format!(
                "the user for the secret `{name}` holds a colon or a control character, or is longer than \
                 {USER_BYTES_MAX} bytes"
            );
            return Err(Failure::Invalid(message));
        }
        let secret = self.secret(&name)?;
        // No name of a secret holds a NUL byte, so that this is no other's placeholder.
        let placeholder = self.named(&format!("{name}\0basic\0{user}"))?.into();
        let value = Arc::new(basic(&user, secret.value()));
        self.hold(Swap { name: name.into(), placeholder, value, hosts: secret.hosts })
    }

    async fn hmac_sha256(&mut self, name: String, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let secret = self.secret(&name)?;
        let most = self.limits.request.value;
        if bytes.len() as u64 > most {
            let message =
                format!("{} are to be signed, of {} allowed", Bytes(bytes.len() as u64), Bytes(most));
            return Err(Failure::Invalid(message));
        }
        if bytes.len() <= HASHED_IN_PLACE_MAX {
            return sign(&name, &secret, &bytes);
        }
        let hashing = self.services.runtime.spawn_blocking(move || sign(&name, &secret, &bytes));
        hashing.await.unwrap_or_else(|_| Err(Failure::Invalid("the host stops".to_owned())))
    }
}

/// The value of the header, wiped when it is done with.
fn basic(user: &str, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + 1 + secret.len()));
    pair.extend_from_slice(user.as_bytes());
    pair.push(b':');
    pair.extend_from_slice(secret);
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(&*pair));
    let mut value = Zeroizing::new(Vec::with_capacity(6 + encoded.len()));
    value.extend_from_slice(b"Basic ");
    value.extend_from_slice(encoded.as_bytes());
    value
}

fn sign(name: &str, secret: &Secret, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let value = secret.value();
    let decoded = match value.strip_prefix(ENCODED_KEY) {
        Some(encoded) => {
            let key = KEY_BASE64.decode(encoded).map(Zeroizing::new);
            // The error would tell bytes of the secret.
            Some(key.map_err(|_| {
                Failure::Invalid(format!(
                    "the secret `{name}` begins with `whsec_` and is no base64 after it"
                ))
            })?)
        }
        None => None,
    };
    let key = decoded.as_ref().map_or(value, |key| key.as_slice());
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Ok(Vec::new()) };
    mac.update(bytes);
    Ok(mac.finalize().into_bytes().to_vec())
}

/// The lines that make a secret; where it comes from and where it may go is the operator's to say.
fn configured(name: &str) -> String {
    let variable: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("secrets:\n  {name}: {{ env: {variable}, hosts: [\"https://api.example.com\"] }}")
}

#[cfg(test)]
mod tests;
