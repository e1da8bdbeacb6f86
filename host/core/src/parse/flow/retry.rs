//! `retry`: a rule for all failures, and rules for those of one fault.

use std::{collections::BTreeMap, time::Duration};

use super::super::{
    fields::{Field, Fields},
    node::Kind,
};
use crate::{
    Fault,
    flow::{Backoff, MAX_ATTEMPTS, MAX_RETRY_FACTOR, Retry, Rule},
    problem::{Problems, shorten},
};

const KEYS: [&str; 8] =
    ["max_attempts", "backoff", "initial", "factor", "max", "jitter", "max_elapsed", "faults"];
const RULE_KEYS: [&str; 6] = ["max_attempts", "backoff", "initial", "factor", "max", "jitter"];
const FAULTS: [(&str, Fault); 6] = [
    ("config", Fault::Config),
    ("denied", Fault::Denied),
    ("unavailable", Fault::Unavailable),
    ("timeout", Fault::Timeout),
    ("limit", Fault::Limit),
    ("failed", Fault::Failed),
];

/// `retry`, with what is left out by default.
pub(super) fn retry(field: Field<'_, '_>, problems: &mut Problems) -> Retry {
    let Some(fields) = Fields::of(field.node, field.path, &KEYS, problems) else { return Retry::default() };
    let written = Written::read(&fields, problems);
    let faults = fields.get("faults");
    // Where there are rules for some faults, all other failures may be final.
    let attempts = written.attempts().or(faults.map(|_| 1));
    if attempts.is_none() {
        need_attempts(&fields, "add `max_attempts: 3`; the first attempt counts", problems);
    }
    Retry {
        rule: written.rule(attempts),
        faults: faults.map(|field| of_faults(field, &written, problems)).unwrap_or_default(),
        max_elapsed: fields.get("max_elapsed").and_then(|field| field.timeout(problems)),
    }
}

fn of_faults(field: Field<'_, '_>, outer: &Written, problems: &mut Problems) -> BTreeMap<Fault, Rule> {
    let mut rules = BTreeMap::new();
    let names = FAULTS.map(|(name, _)| name);
    let Some(fields) = Fields::of(field.node, field.path, &names, problems) else { return rules };
    for (name, fault) in FAULTS {
        let Some(field) = fields.get(name) else { continue };
        let Some(keys) = Fields::of(field.node, field.path, &RULE_KEYS, problems) else { continue };
        let mut written = Written::read_within(&keys, outer, problems);
        let attempts = written.attempts().or(outer.attempts());
        if attempts.is_none() {
            need_attempts(&keys, "add `max_attempts: 3`, here or to `retry` itself", problems);
        }
        written.inherit(outer);
        rules.insert(fault, written.rule(attempts));
    }
    rules
}

/// Reports that nothing says how many attempts there are; a list of waits does, even one with mistakes.
fn need_attempts(fields: &Fields<'_, '_>, hint: &str, problems: &mut Problems) {
    let listed = |field: &Field<'_, '_>| matches!(field.node.kind, Kind::Array(_));
    if !fields.get("backoff").is_some_and(|field| listed(&field)) {
        fields.need("max_attempts", hint, problems);
    }
}

/// A rule as far as it is written.
#[derive(Default)]
struct Written {
    max_attempts: Option<u32>,
    waits: Option<Waits>,
    initial: Option<Duration>,
    factor: Option<f64>,
    max: Option<Duration>,
    jitter: Option<bool>,
}

#[derive(Clone)]
enum Waits {
    Exponential,
    Constant,
    Listed(Vec<Duration>),
}

impl Written {
    fn read(fields: &Fields<'_, '_>, problems: &mut Problems) -> Self {
        Self::read_within(fields, &Self::default(), problems)
    }

    /// Reads a rule that takes from `outer` what it leaves out.
    fn read_within(fields: &Fields<'_, '_>, outer: &Self, problems: &mut Problems) -> Self {
        let mut time = |key| fields.get(key).and_then(|field| field.duration(problems));
        let (initial, max) = (time("initial"), time("max"));
        let written = Self {
            max_attempts: fields.get("max_attempts").and_then(|field| max_attempts(field, problems)),
            waits: fields.get("backoff").and_then(|field| waits(field, problems)),
            initial,
            factor: fields.get("factor").and_then(|field| factor(field, problems)),
            max,
            jitter: fields.get("jitter").and_then(|field| field.bool(problems)),
        };
        written.check(fields, outer, problems);
        written
    }

    /// Reports what does not go together.
    fn check(&self, fields: &Fields<'_, '_>, outer: &Self, problems: &mut Problems) {
        let (without_meaning, kind): (&[&'static str], _) = match self.waits.as_ref().or(outer.waits.as_ref())
        {
            None | Some(Waits::Exponential) => {
                self.check_bounds(fields, outer, problems);
                (&[], "")
            }
            Some(Waits::Constant) => (&["factor", "max"], "`constant`: `initial` is every wait"),
            Some(Waits::Listed(waits)) => {
                self.check_length(fields, waits.len(), problems);
                (&["initial", "factor", "max"], "a list of all waits")
            }
        };
        for field in without_meaning.iter().filter_map(|key| Some((key, fields.get(key)?))) {
            let (key, field) = field;
            field.invalid(
                format!("`{key}` means nothing here, as `backoff` is {kind}"),
                "remove one of the two",
                problems,
            );
        }
    }

    /// Reports waits that begin above their most.
    fn check_bounds(&self, fields: &Fields<'_, '_>, outer: &Self, problems: &mut Problems) {
        let bounds = (self.initial.or(outer.initial), self.max.or(outer.max));
        if let (Some(initial), Some(max)) = bounds
            && initial > max
            && (self.initial.is_some() || self.max.is_some())
        {
            let place = Field { node: fields.node(), path: fields.path };
            place.invalid(
                "`initial` is longer than `max`",
                "`max` bounds every wait between attempts",
                problems,
            );
        }
    }

    fn check_length(&self, fields: &Fields<'_, '_>, waits: usize, problems: &mut Problems) {
        let most = attempts_of(waits);
        if let (Some(asked), Some(field)) = (self.max_attempts, fields.get("max_attempts"))
            && asked > most
        {
            let message =
                format!("`max_attempts` is {asked}, and the list of waits is enough for {most} attempts");
            field.invalid(message, "add waits to the list, or remove `max_attempts`", problems);
        }
    }

    /// How many attempts the rule itself asks for.
    fn attempts(&self) -> Option<u32> {
        let listed = match &self.waits {
            Some(Waits::Listed(waits)) => Some(attempts_of(waits.len())),
            _ => None,
        };
        self.max_attempts.or(listed)
    }

    fn inherit(&mut self, outer: &Self) {
        self.waits = self.waits.take().or_else(|| outer.waits.clone());
        self.initial = self.initial.or(outer.initial);
        self.factor = self.factor.or(outer.factor);
        self.max = self.max.or(outer.max);
        self.jitter = self.jitter.or(outer.jitter);
    }

    fn rule(&self, attempts: Option<u32>) -> Rule {
        let default = Rule::default();
        Rule {
            max_attempts: attempts.unwrap_or(default.max_attempts),
            backoff: self.backoff(),
            jitter: self.jitter.unwrap_or(default.jitter),
        }
    }

    fn backoff(&self) -> Backoff {
        let initial = self.initial.unwrap_or(Backoff::INITIAL);
        match &self.waits {
            Some(Waits::Listed(waits)) => Backoff::Listed(waits.clone()),
            Some(Waits::Constant) => Backoff::Constant(initial),
            None | Some(Waits::Exponential) => Backoff::Exponential {
                initial,
                factor: self.factor.unwrap_or(Backoff::FACTOR),
                max: self.max.unwrap_or(Backoff::MAX.max(initial)),
            },
        }
    }
}

/// One attempt before each wait, and one after the last.
fn attempts_of(waits: usize) -> u32 {
    u32::try_from(waits).unwrap_or(u32::MAX).saturating_add(1)
}

fn max_attempts(field: Field<'_, '_>, problems: &mut Problems) -> Option<u32> {
    field.whole(1..=MAX_ATTEMPTS, "1 tries once, without a retry", problems)
}

fn factor(field: Field<'_, '_>, problems: &mut Problems) -> Option<f64> {
    let number = match &field.node.kind {
        Kind::Number(number) => number.as_f64(),
        _ => None,
    };
    let fits = number.filter(|number| (1.0..=MAX_RETRY_FACTOR).contains(number));
    if fits.is_none() {
        let message = format!("`factor` must be a number from 1 to {MAX_RETRY_FACTOR}");
        field.invalid(message, "2 doubles the wait after each attempt", problems);
    }
    fits
}

fn waits(field: Field<'_, '_>, problems: &mut Problems) -> Option<Waits> {
    const HINT: &str = "write `exponential`, `constant`, or a list of waits such as `[1s, 5s, 1m]`";
    let items = match &field.node.kind {
        Kind::Text(text) if text == "exponential" => return Some(Waits::Exponential),
        Kind::Text(text) if text == "constant" => return Some(Waits::Constant),
        Kind::Text(text) => {
            field.invalid(format!("`{}` is no kind of backoff", shorten(text)), HINT, problems);
            return None;
        }
        Kind::Array(items) => items,
        _ => {
            field.wrong_type("`exponential`, `constant` or a list of waits", problems);
            return None;
        }
    };
    if items.is_empty() || attempts_of(items.len()) > MAX_ATTEMPTS {
        let message = format!("a list of waits has 1 to {} of them", MAX_ATTEMPTS - 1);
        field.invalid(message, "there is one before each attempt but the first", problems);
        return None;
    }
    let wait = |(index, node)| Field { node, path: field.path.index(index) }.duration(problems);
    items
        .iter()
        .enumerate()
        .map(wait)
        .collect::<Vec<_>>()
        .into_iter()
        .collect::<Option<_>>()
        .map(Waits::Listed)
}
