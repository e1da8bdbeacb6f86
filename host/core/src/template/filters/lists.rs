//! Filters on lists; some take a string or a map too.

use std::{cmp::Ordering, collections::HashSet};

use super::{Values, attribute};
use crate::template::{
    limits::Budget,
    ops::{self, Num},
    value::{Made, Reason, Text, Val, pay_for_items},
    write,
};

pub(super) fn length<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    if let Val::Text(text) = &value {
        budget.scan(text.len())?;
    }
    value
        .length()
        .map(Val::from)
        .ok_or_else(|| Reason::new(format!("a string, a list or a map is needed here, not {}", value.kind())))
}

pub(super) fn first<'a>(value: Val<'a>, _: &mut Values<'a>, _: &Budget) -> Made<'a> {
    end(&value, value.item(0), |text| text.chars().next())
}

pub(super) fn last<'a>(value: Val<'a>, _: &mut Values<'a>, _: &Budget) -> Made<'a> {
    let last = value.length().and_then(|length| value.item(length.checked_sub(1)?));
    end(&value, last, |text| text.chars().next_back())
}

fn end<'a>(value: &Val<'a>, item: Option<Val<'a>>, of_text: fn(&str) -> Option<char>) -> Made<'a> {
    let found = match value {
        Val::Text(text) => of_text(text).map(|char| Val::from(char.to_string())),
        list if list.is_list() => item,
        other => return Err(Reason::new(format!("a list or a string is needed here, not {}", other.kind()))),
    };
    Ok(found.unwrap_or_else(|| empty(value)))
}

fn empty<'a>(value: &Val<'a>) -> Val<'a> {
    Val::missing(
        Reason::new(format!("{} is empty", value.kind().trim_start_matches("a ")))
            .hint("give a value for this case with `| default(…)`"),
    )
}

/// The items of a list, the keys of a map, the characters of a string.
pub(super) fn list<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    match value {
        Val::Text(text) => {
            budget.scan(text.len())?;
            pay_for_items(text.len().saturating_mul(2), budget)?;
            Ok(Val::from(text.chars().map(|char| Val::from(char.to_string())).collect::<Vec<_>>()))
        }
        map if map.is_map() => super::maps::keys(map, args, budget),
        list => list.into_items(budget).map(Val::from),
    }
}

pub(super) fn reverse<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    if let Val::Text(text) = &value {
        budget.scan(text.len())?;
        budget.make(text.len())?;
        return Ok(Val::from(text.chars().rev().collect::<String>()));
    }
    let mut items = value.into_items(budget)?;
    items.reverse();
    Ok(Val::from(items))
}

pub(super) fn join<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let separator = args.text(0)?.unwrap_or(Text::Borrowed(""));
    let path = args.text(1)?;
    let mut joined = String::new();
    for (index, item) in value.into_items(budget)?.into_iter().enumerate() {
        let item = match &path {
            Some(path) => attribute(&item, path),
            None => item,
        };
        let text = ops::text_of(item, budget)?;
        budget.make(separator.len() + text.len())?;
        if index > 0 {
            joined.push_str(&separator);
        }
        joined.push_str(&text);
    }
    Ok(Val::from(joined))
}

/// `map(attribute='a.b', default=…)`.
pub(super) fn map_attribute<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let path = args.text(0)?.unwrap_or(Text::Borrowed(""));
    // `null` is a default like any other.
    let default = args.0.get_mut(1).and_then(Option::take);
    let items = value.into_items(budget)?;
    let mapped = items.into_iter().map(|item| match (attribute(&item, &path), &default) {
        (Val::Missing(_), Some(default)) => Ok(default.clone()),
        (found, _) => found.there(),
    });
    Ok(Val::from(mapped.collect::<Result<Vec<_>, _>>()?))
}

pub(super) fn min<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    extreme(value, Ordering::Less, budget)
}

pub(super) fn max<'a>(value: Val<'a>, _: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    extreme(value, Ordering::Greater, budget)
}

fn extreme<'a>(value: Val<'a>, wanted: Ordering, budget: &Budget) -> Made<'a> {
    let mut items = value.clone().into_items(budget)?.into_iter();
    let Some(mut best) = items.next() else { return Ok(empty(&value)) };
    for item in items {
        if ops::order(&item, &best, budget)? == wanted {
            best = item;
        }
    }
    Ok(best)
}

pub(super) fn sort<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let (reverse, case_sensitive, path) = (args.flag(0)?, args.flag(1)?, args.text(2)?);
    let items = value.into_items(budget)?;
    let sorted = sorted(items, case_sensitive, reverse, budget, |item| key_of(item, path.as_deref()))?;
    Ok(Val::from(sorted.into_iter().map(|(_, item)| item).collect::<Vec<_>>()))
}

/// Items with what they are sorted by. Equal ones keep their order, also in reverse.
pub(super) fn sorted<'a>(
    items: Vec<Val<'a>>,
    case_sensitive: bool,
    reverse: bool,
    budget: &Budget,
    key: impl Fn(&Val<'a>) -> Val<'a>,
) -> Result<Vec<(Val<'a>, Val<'a>)>, Reason> {
    pay_for_items(items.len().saturating_mul(2), budget)?;
    let keyed =
        items.into_iter().map(|item| Ok((folded(key(&item).there()?, case_sensitive, budget)?, item)));
    let mut keyed = keyed.collect::<Result<Vec<_>, Reason>>()?;
    let mut failed = None;
    keyed.sort_by(|(a, _), (b, _)| {
        // After a failure the order does not matter any more.
        let order = if failed.is_some() { Ok(Ordering::Equal) } else { ops::order(a, b, budget) };
        let order = order.unwrap_or_else(|reason| {
            failed = Some(reason);
            Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    match failed {
        Some(reason) => Err(reason),
        None => Ok(keyed),
    }
}

/// `[key, [items…]]` pairs, sorted by key; the key is written as the first of its items has it.
pub(super) fn groupby<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let path = args.text(0)?.unwrap_or(Text::Borrowed(""));
    let default = args.0.get_mut(1).and_then(Option::take);
    let case_sensitive = args.flag(2)?;
    let key = |item: &Val<'a>| match (attribute(item, &path), &default) {
        (Val::Missing(_), Some(default)) => default.clone(),
        (found, _) => found,
    };
    let mut groups: Vec<(Val<'a>, Vec<Val<'a>>)> = Vec::new();
    let mut last: Option<Val<'a>> = None;
    for (folded, item) in sorted(value.into_items(budget)?, case_sensitive, false, budget, key)? {
        let same = match &last {
            Some(last) => ops::equal(last, &folded, budget)?,
            None => false,
        };
        match groups.last_mut().filter(|_| same) {
            Some((_, group)) => group.push(item),
            None => groups.push((key(&item).there()?, vec![item])),
        }
        last = Some(folded);
    }
    pay_for_items(groups.len().saturating_mul(4), budget)?;
    let pairs = groups.into_iter().map(|(key, group)| Val::from(vec![key, Val::from(group)]));
    Ok(Val::from(pairs.collect::<Vec<_>>()))
}

/// The first of those that are equal: `1` and `1.0` are, other values by their JSON text.
pub(super) fn unique<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let (case_sensitive, path) = (args.flag(0)?, args.text(1)?);
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for item in value.into_items(budget)? {
        let key = match folded(key_of(&item, path.as_deref()).there()?, case_sensitive, budget)? {
            Val::Number(number) => Num::from(&number).whole().made()?,
            key => key,
        };
        if seen.insert(write::text(&key, budget)?) {
            kept.push(item);
        }
    }
    Ok(Val::from(kept))
}

fn key_of<'a>(item: &Val<'a>, path: Option<&str>) -> Val<'a> {
    path.map_or_else(|| item.clone(), |path| attribute(item, path))
}

fn folded<'a>(key: Val<'a>, case_sensitive: bool, budget: &Budget) -> Made<'a> {
    match key {
        Val::Text(text) if !case_sensitive => {
            budget.scan(text.len())?;
            budget.make(text.len().saturating_mul(3))?;
            Ok(Val::from(text.to_lowercase()))
        }
        key => Ok(key),
    }
}
