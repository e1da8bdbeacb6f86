//! Filters on numbers, and into them.

use super::{Values, attribute};
use crate::template::{
    expr::Math,
    limits::Budget,
    ops::{self, Num},
    value::{Made, Reason, Val},
};

/// Digits that `round` keeps before or behind the point; an `f64` has no more that mean something.
const MOST_DIGITS: i64 = 17;

pub(super) fn abs<'a>(value: Val<'a>, _: &mut Values<'a>, _: &Budget) -> Made<'a> {
    match number(&value)? {
        Num::Int(int) => Num::Int(int.abs()),
        Num::Float(float) => Num::Float(float.abs()),
    }
    .made()
}

pub(super) fn bool<'a>(value: Val<'a>, _: &mut Values<'a>, _: &Budget) -> Made<'a> {
    value.truthy().map(Val::Bool)
}

/// Cuts a float, reads a string; with a default also takes what is no number.
pub(super) fn int<'a>(value: Val<'a>, args: &mut Values<'a>, _: &Budget) -> Made<'a> {
    let cut = |float: f64| (float.abs() < 1e19).then_some(Num::Int(float as i128));
    let int = match &value {
        Val::Bool(value) => Some(Num::Int((*value).into())),
        Val::Number(number) => match number.into() {
            Num::Float(float) => cut(float),
            int => Some(int),
        },
        Val::Text(text) => {
            let text = text.trim();
            let int = text.parse().ok().map(Num::Int);
            int.or_else(|| text.parse().ok().and_then(cut))
        }
        _ => None,
    };
    or_default(int.map(Num::made), &value, "an integer", args)
}

pub(super) fn float<'a>(value: Val<'a>, args: &mut Values<'a>, _: &Budget) -> Made<'a> {
    let float = match &value {
        Val::Bool(value) => Some(f64::from(u8::from(*value))),
        Val::Number(number) => number.as_f64(),
        Val::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    or_default(float.map(|float| Num::Float(float).made()), &value, "a number", args)
}

fn or_default<'a>(made: Option<Made<'a>>, value: &Val<'a>, wanted: &str, args: &mut Values<'a>) -> Made<'a> {
    match (made, args.0.get_mut(0).and_then(Option::take)) {
        (Some(Ok(made)), _) => Ok(made),
        (_, Some(default)) => Ok(default),
        (Some(Err(reason)), None) => Err(reason),
        (None, None) => {
            let what = match value {
                Val::Text(text) => format!("`{}`", crate::ids::shorten(text)),
                other => other.kind().to_owned(),
            };
            Err(Reason::new(format!("{what} is no text of {wanted}"))
                .hint("give a value for this case with `default=…`"))
        }
    }
}

/// Half goes away from zero, except where the decimal text of the float is below half.
pub(super) fn round<'a>(value: Val<'a>, args: &mut Values<'a>, _: &Budget) -> Made<'a> {
    let digits = args.integer(0)?.unwrap_or(0).clamp(-MOST_DIGITS, MOST_DIGITS);
    let method = args.text(1)?;
    let direct: fn(f64) -> f64 = match method.as_deref() {
        None | Some("common") => f64::round,
        Some("ceil") => f64::ceil,
        Some("floor") => f64::floor,
        Some(_) => return Err(Reason::new("the method is `common`, `ceil` or `floor`")),
    };
    match number(&value)? {
        int @ Num::Int(_) if digits >= 0 => int.made(),
        Num::Float(float) if digits >= 0 && matches!(method.as_deref(), None | Some("common")) => {
            // Through the decimal text: `2.675 * 100` is 267.49999999999994, while its text says what is meant.
            let places = usize::try_from(digits).unwrap_or_default();
            let rounded = if digits == 0 {
                float.round()
            } else {
                format!("{float:.places$}").parse().unwrap_or(float)
            };
            Num::Float(rounded).made()
        }
        number => {
            let factor = 10_f64.powi(i32::try_from(digits).unwrap_or_default());
            let rounded = direct(number.float() * factor) / factor;
            match number {
                Num::Int(_) => Num::Int(rounded as i128).made(),
                Num::Float(_) => Num::Float(rounded).made(),
            }
        }
    }
}

pub(super) fn sum<'a>(value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
    let path = args.text(0)?;
    let mut sum = args.take(1).unwrap_or(Val::from(0_i64));
    for item in value.into_items(budget)? {
        let item = match &path {
            Some(path) => attribute(&item, path).there()?,
            None => item,
        };
        sum = ops::math(Math::Add, sum, item, budget)?;
    }
    Ok(sum)
}

fn number(value: &Val<'_>) -> Result<Num, Reason> {
    match value {
        Val::Number(number) => Ok(number.into()),
        other => Err(Reason::new(format!("a number is needed here, not {}", other.kind()))
            .hint("`| int` and `| float` make numbers of text")),
    }
}
