//! The operator's secrets, and the placeholders that stand for them in cells.

use std::{collections::BTreeMap, fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stepcell_core::{RunId, StepId, grant::HttpRule};
use zeroize::Zeroizing;

/// Hexadecimal digits of a placeholder: 128 bits that nobody guesses.
const DIGITS: usize = 32;

/// A secret of the config.
#[derive(Clone)]
pub struct Secret {
    value: Arc<Zeroizing<Vec<u8>>>,
    /// Where it may go: one of them has to admit the request.
    pub hosts: Arc<[HttpRule]>,
}

/// All secrets of the config, by name.
#[derive(Clone)]
pub(crate) struct Vault {
    key: [u8; 32],
    secrets: Arc<BTreeMap<String, Secret>>,
}

/// What stands for something secret in one execution, until it leaves for a host it is bound to.
#[derive(Clone)]
pub struct Swap {
    /// The secret's name, for messages.
    pub name: Arc<str>,
    pub placeholder: Arc<str>,
    /// The secret, or what is made of it.
    pub value: Arc<Zeroizing<Vec<u8>>>,
    pub hosts: Arc<[HttpRule]>,
}

impl Secret {
    /// `value` is never shown, and overwritten when the last copy goes.
    pub fn new(value: impl Into<Vec<u8>>, hosts: Vec<HttpRule>) -> Self {
        Self { value: Arc::new(Zeroizing::new(value.into())), hosts: hosts.into() }
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    /// The value for a swap, which shares it.
    pub(crate) fn shared(&self) -> Arc<Zeroizing<Vec<u8>>> {
        Arc::clone(&self.value)
    }
}

impl Vault {
    pub(crate) fn new(key: [u8; 32], secrets: BTreeMap<String, Secret>) -> Self {
        Self { key, secrets: Arc::new(secrets) }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// The same on every attempt of a step, so that its config is; another one for every other step.
    pub(crate) fn placeholder(&self, run: RunId, step: &StepId, name: &str) -> String {
        // Letters, digits and `_` only: it stands in headers, queries and JSON as it is.
        format!("secret_{}", self.digits(b"stepcell secret placeholder", run, step, name.as_bytes()))
    }

    /// What names the n-th mail of a step, the same on every attempt. It tells nobody which run it was.
    pub(crate) fn mail(&self, run: RunId, step: &StepId, number: u32) -> String {
        self.digits(b"stepcell mail", run, step, &number.to_be_bytes())
    }

    fn digits(&self, purpose: &[u8], run: RunId, step: &StepId, what: &[u8]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(purpose);
        mac.update(run.as_bytes());
        // A step id holds no NUL byte, so that no two pairs give the same text.
        mac.update(step.as_str().as_bytes());
        mac.update(&[0]);
        mac.update(what);
        let digest = mac.finalize().into_bytes();
        digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What to swap where the config of this step holds the placeholder of a secret.
    pub(crate) fn swap(&self, run: RunId, step: &StepId, name: &str) -> Option<Swap> {
        let secret = self.get(name)?;
        Some(Swap {
            name: name.into(),
            placeholder: self.placeholder(run, step, name).into(),
            value: Arc::clone(&secret.value),
            hosts: Arc::clone(&secret.hosts),
        })
    }
}

/// Never the value.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Never the value.
impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swap").field("name", &self.name).finish_non_exhaustive()
    }
}
