//! Filters on strings.

use std::fmt::Write as _;

use super::Values;
use crate::template::{
    limits::Budget,
    ops,
    value::{Made, Reason, Val, pay_for_items},
};

/// How much longer a string can get by a change of case, in UTF-8 bytes: one character becomes three at most.
const CASE_GROWTH: usize = 3;
/// A byte becomes `%XX`.
const PERCENT_GROWTH: usize = 3;

pub(super) fn lower<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    cased(value, budget, str::to_lowercase)
}

pub(super) fn upper<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    cased(value, budget, str::to_uppercase)
}

pub(super) fn capitalize<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    cased(value, budget, |text| {
        let mut chars = text.chars();
        let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
        first + &chars.as_str().to_lowercase()
    })
}

pub(super) fn title<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    cased(value, budget, |text| {
        let mut titled = String::with_capacity(text.len());
        let mut starts = true;
        for char in text.chars() {
            if starts {
                titled.extend(char.to_uppercase());
            } else {
                titled.extend(char.to_lowercase());
            }
            starts = char.is_whitespace() || matches!(char, '-' | '(' | '{' | '[' | '<');
        }
        titled
    })
}

pub(super) fn string<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    ops::text_of(value, budget).map(Val::Text)
}

pub(super) fn trim<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let text = paid(value, 1, budget)?;
    let Some(chars) = args.text(0)? else { return Ok(Val::from(text.trim().to_owned())) };
    // Each character of the text may be compared with each of these.
    budget.scan(chars.len().saturating_mul(text.len()))?;
    let chars: Vec<char> = chars.chars().collect();
    Ok(Val::from(text.trim_matches(chars.as_slice()).to_owned()))
}

pub(super) fn replace<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let text = value.into_text()?;
    let (Some(old), Some(new)) = (args.text(0)?, args.text(1)?) else {
        return Err(Reason::new("the old and the new text are needed"));
    };
    budget.scan(2 * text.len())?;
    let found = text.matches(&*old).count();
    budget.make(text.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(Val::from(text.replace(&*old, &new)))
}

pub(super) fn split<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let text = paid(value, 1, budget)?;
    let separator = args.text(0)?;
    let most = match args.integer(1)? {
        Some(most) if most >= 0 => usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1),
        _ => usize::MAX,
    };
    match separator {
        Some(separator) if separator.is_empty() => Err(Reason::new("the separator is empty")),
        Some(separator) => parts(|| text.splitn(most, &*separator), budget),
        None if most == usize::MAX => parts(|| text.split_whitespace(), budget),
        None => Err(Reason::new("`maxsplit` needs a separator")),
    }
}

pub(super) fn lines<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let text = paid(value, 1, budget)?;
    parts(|| text.lines(), budget)
}

/// A string so that it can stand anywhere in a URL; a map as a query string.
pub(super) fn urlencode<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    if !value.is_map() {
        let text = ops::text_of(value, budget)?;
        return encoded(&text, budget).map(Val::from);
    }
    let mut query = String::new();
    for (key, value) in value.into_entries(budget)? {
        if matches!(value, Val::Null) {
            continue;
        }
        let pair = encoded(&key, budget)? + "=" + &encoded(&ops::text_of(value, budget)?, budget)?;
        budget.make(pair.len() + 1)?;
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&pair);
    }
    Ok(Val::from(query))
}

fn encoded(text: &str, budget: &Budget) -> Result<String, Reason> {
    budget.scan(text.len())?;
    budget.make(text.len().saturating_mul(PERCENT_GROWTH))?;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    Ok(encoded)
}

fn cased<'a>(value: Val<'a>, budget: &Budget, change: fn(&str) -> String) -> Made<'a> {
    let text = paid(value, CASE_GROWTH, budget)?;
    Ok(Val::from(change(&text)))
}

/// A string, with as many copies of it paid for as the filter may make.
fn paid<'a>(value: Val<'a>, growth: usize, budget: &Budget) -> Result<super::super::value::Text<'a>, Reason> {
    let text = value.into_text()?;
    budget.scan(text.len())?;
    budget.make(text.len().saturating_mul(growth))?;
    Ok(text)
}

fn parts<'t, 'a, I: Iterator<Item = &'t str>>(split: impl Fn() -> I, budget: &Budget) -> Made<'a> {
    pay_for_items(split().count(), budget)?;
    Ok(Val::from(split().map(|part| Val::from(part.to_owned())).collect::<Vec<_>>()))
}
