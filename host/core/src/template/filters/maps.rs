//! Filters on maps.

use super::{Values, lists};
use crate::template::{
    limits::Budget,
    value::{Made, Reason, Val, pay_for_items},
};

pub(super) fn keys<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let keys = value.into_entries(budget)?.into_iter().map(|(key, _)| Val::Text(key));
    Ok(Val::from(keys.collect::<Vec<_>>()))
}

pub(super) fn values<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let values = value.into_entries(budget)?.into_iter().map(|(_, value)| value);
    Ok(Val::from(values.collect::<Vec<_>>()))
}

/// `[key, value]` pairs.
pub(super) fn items<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let entries = value.into_entries(budget)?;
    pay_for_items(entries.len().saturating_mul(3), budget)?;
    let pairs = entries.into_iter().map(|(key, value)| Val::from(vec![Val::Text(key), value]));
    Ok(Val::from(pairs.collect::<Vec<_>>()))
}

/// The pairs, sorted by key or by value.
pub(super) fn dictsort<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let case_sensitive = args.flag(0)?;
    let by = match args.text(1)?.as_deref() {
        None | Some("key") => 0,
        Some("value") => 1,
        Some(_) => return Err(Reason::new("`by` is `key` or `value`")),
    };
    let reverse = args.flag(2)?;
    let pairs = items(value, args, budget)?.into_items(budget)?;
    let sorted =
        lists::sorted(pairs, case_sensitive, reverse, budget, |pair| pair.item(by).unwrap_or(Val::Null))?;
    Ok(Val::from(sorted.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>()))
}

/// The entries of both maps; those of the argument win. What lies deeper is not merged.
pub(super) fn merge<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let other = args.take(0).unwrap_or(Val::Null).into_entries(budget)?;
    let mut merged: indexmap::IndexMap<String, Val<'a>> = indexmap::IndexMap::new();
    for (key, value) in value.into_entries(budget)?.into_iter().chain(other) {
        budget.make(key.len())?;
        merged.insert((*key).to_owned(), value);
    }
    let entries =
        merged.into_iter().map(|(key, value)| (crate::template::value::Text::Shared(key.into()), value));
    Ok(Val::map(entries.collect()))
}
