//! Arithmetic, comparison and text of values.

use std::cmp::Ordering;

use serde_json::Number;

use super::{
    expr::{Comparison, Math},
    limits::Budget,
    value::{Made, Reason, Text, Val, pay_for_items},
    write,
};

/// A JSON number as what it is. Integers of 64 bits and all that their arithmetic gives are exact.
#[derive(Debug, Clone, Copy)]
pub(super) enum Num {
    Int(i128),
    Float(f64),
}

impl From<&Number> for Num {
    fn from(number: &Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Self::Int(int.into()),
            (_, Some(int)) => Self::Int(int.into()),
            _ => Self::Float(number.as_f64().unwrap_or_default()),
        }
    }
}

impl Num {
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    /// As an integer, where it is one.
    pub(super) fn whole(self) -> Self {
        match self {
            Self::Float(float) if float.fract() == 0.0 && float.abs() < 1e18 => Self::Int(float as i128),
            number => number,
        }
    }

    /// The number as a value; one that JSON or 64 bits can not carry is an error.
    pub(super) fn made<'a>(self) -> Made<'a> {
        let number = match self {
            Self::Int(int) => {
                i64::try_from(int).map(Number::from).or(u64::try_from(int).map(Number::from)).ok()
            }
            Self::Float(float) => Number::from_f64(float),
        };
        number.map(Val::Number).ok_or_else(|| Reason::new("the result is no number of 64 bits"))
    }

    fn order(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(&b).min_zero(a, b),
            (Self::Int(a), Self::Float(b)) => int_to_float(a, b),
            (Self::Float(a), Self::Int(b)) => int_to_float(b, a).reverse(),
        }
    }
}

/// `-0.0` equals `0.0`, which a total order would tell apart.
trait MinZero {
    fn min_zero(self, a: f64, b: f64) -> Self;
}

impl MinZero for Ordering {
    fn min_zero(self, a: f64, b: f64) -> Self {
        if a == b { Self::Equal } else { self }
    }
}

/// Compares without rounding the integer away: 2^53 + 1 is more than 2^53 as a float.
fn int_to_float(int: i128, float: f64) -> Ordering {
    match (int as f64).partial_cmp(&float) {
        Some(Ordering::Equal) | None => int.cmp(&(float as i128)),
        Some(order) => order,
    }
}

/// `+ - * / // % **`, as Jinja and Python have them: `/` gives a float, `//` and `%` round down.
pub(super) fn math<'a>(op: Math, left: Val<'a>, right: Val<'a>, budget: &Budget) -> Made<'a> {
    match (op, left.there()?, right.there()?) {
        (_, Val::Number(a), Val::Number(b)) => number_math(op, (&a).into(), (&b).into())?.made(),
        (Math::Add, Val::Text(a), Val::Text(b)) => concat(Val::Text(a), Val::Text(b), budget),
        (Math::Add, a, b) if a.is_list() && b.is_list() => {
            pay_for_items(b.length().unwrap_or_default(), budget)?;
            let mut items = a.into_items(budget)?;
            items.extend(b.items());
            Ok(Val::from(items))
        }
        (Math::Multiply, Val::Text(text), Val::Number(count))
        | (Math::Multiply, Val::Number(count), Val::Text(text)) => repeat(&text, &count, budget),
        (op, a, b) => {
            let reason =
                Reason::new(format!("`{}` does not work on {} and {}", op.symbol(), a.kind(), b.kind()));
            Err(match (op, &a, &b) {
                (Math::Add, Val::Text(_), _) | (Math::Add, _, Val::Text(_)) => {
                    reason.hint("`~` joins values as text; `| int` and `| float` make numbers of text")
                }
                (_, Val::Text(_), _) | (_, _, Val::Text(_)) => {
                    reason.hint("`| int` and `| float` make numbers of text")
                }
                _ => reason,
            })
        }
    }
}

fn repeat<'a>(text: &str, count: &Number, budget: &Budget) -> Made<'a> {
    let count = count.as_u64().and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| Reason::new("a string can only be repeated a whole number of times"))?;
    budget.make(text.len().saturating_mul(count))?;
    Ok(Val::from(text.repeat(count)))
}

fn number_math(op: Math, left: Num, right: Num) -> Result<Num, Reason> {
    let too_big = || Reason::new("the result is no number of 64 bits");
    if matches!(op, Math::Divide | Math::FloorDivide | Math::Remainder) && right.float() == 0.0 {
        return Err(Reason::new("division by zero"));
    }
    match (left, right) {
        (Num::Int(a), Num::Int(b)) => Ok(Num::Int(match op {
            Math::Add => a.checked_add(b).ok_or_else(too_big)?,
            Math::Subtract => a.checked_sub(b).ok_or_else(too_big)?,
            Math::Multiply => a.checked_mul(b).ok_or_else(too_big)?,
            Math::Divide => return Ok(Num::Float(left.float() / right.float())),
            Math::FloorDivide => floor_divide(a, b).ok_or_else(too_big)?,
            Math::Remainder => floor_divide(a, b).map(|quotient| a - quotient * b).ok_or_else(too_big)?,
            Math::Power => match u32::try_from(b) {
                Ok(exponent) => a.checked_pow(exponent).ok_or_else(too_big)?,
                Err(_) => return Ok(Num::Float(left.float().powf(right.float()))),
            },
        })),
        _ => Ok(Num::Float(float_math(op, left.float(), right.float()))),
    }
}

fn floor_divide(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

fn float_math(op: Math, a: f64, b: f64) -> f64 {
    let remainder = || {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
    };
    match op {
        Math::Add => a + b,
        Math::Subtract => a - b,
        Math::Multiply => a * b,
        Math::Divide => a / b,
        Math::FloorDivide => ((a - remainder()) / b).round(),
        Math::Remainder => remainder(),
        Math::Power => a.powf(b),
    }
}

/// The negative of a number.
pub(super) fn negate<'a>(value: Val<'a>) -> Made<'a> {
    match value.there()? {
        Val::Number(number) => match Num::from(&number) {
            Num::Int(int) => Num::Int(-int).made(),
            Num::Float(float) => Num::Float(-float).made(),
        },
        other => Err(Reason::new(format!("`-` does not work on {}", other.kind()))),
    }
}

/// One comparison of two values that are there.
pub(super) fn holds(
    op: Comparison,
    left: &Val<'_>,
    right: &Val<'_>,
    budget: &Budget,
) -> Result<bool, Reason> {
    Ok(match op {
        Comparison::Equal => equal(left, right, budget)?,
        Comparison::NotEqual => !equal(left, right, budget)?,
        Comparison::Less => order(left, right, budget)?.is_lt(),
        Comparison::LessOrEqual => order(left, right, budget)?.is_le(),
        Comparison::Greater => order(left, right, budget)?.is_gt(),
        Comparison::GreaterOrEqual => order(left, right, budget)?.is_ge(),
        Comparison::In => contains(right, left, budget)?,
        Comparison::NotIn => !contains(right, left, budget)?,
    })
}

/// Deep equality. `1` equals `1.0`; the order of a map's keys does not matter.
pub(super) fn equal(left: &Val<'_>, right: &Val<'_>, budget: &Budget) -> Result<bool, Reason> {
    budget.work(1)?;
    match (left, right) {
        (Val::Null, Val::Null) => Ok(true),
        (Val::Bool(a), Val::Bool(b)) => Ok(a == b),
        (Val::Number(a), Val::Number(b)) => Ok(Num::from(a).order(b.into()).is_eq()),
        (Val::Text(a), Val::Text(b)) => {
            budget.scan(a.len().min(b.len()))?;
            Ok(**a == **b)
        }
        (a, b) if a.is_list() && b.is_list() || a.is_map() && b.is_map() => {
            Ok(a.length() == b.length() && equal_parts(a, b, budget)?)
        }
        _ => Ok(false),
    }
}

/// Two lists or two maps of the same length.
fn equal_parts(left: &Val<'_>, right: &Val<'_>, budget: &Budget) -> Result<bool, Reason> {
    for (a, b) in left.items().zip(right.items()) {
        if !equal(&a, &b, budget)? {
            return Ok(false);
        }
    }
    for (key, a) in left.entries() {
        match entry(right, &key, budget)? {
            Some(b) if equal(&a, &b, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// A map that an expression made is searched from its start.
fn entry<'a>(map: &Val<'a>, key: &str, budget: &Budget) -> Result<Option<Val<'a>>, Reason> {
    if let Val::Entries(entries) = map {
        budget.work(entries.len())?;
    }
    Ok(map.entry(key))
}

/// Which comes first; only two numbers, strings or booleans have an order.
pub(super) fn order(left: &Val<'_>, right: &Val<'_>, budget: &Budget) -> Result<Ordering, Reason> {
    budget.work(1)?;
    match (left, right) {
        (Val::Number(a), Val::Number(b)) => Ok(Num::from(a).order(b.into())),
        (Val::Text(a), Val::Text(b)) => {
            budget.scan(a.len().min(b.len()))?;
            Ok((**a).cmp(b))
        }
        (Val::Bool(a), Val::Bool(b)) => Ok(a.cmp(b)),
        (a, b) => {
            let reason = Reason::new(format!("{} and {} have no order", a.kind(), b.kind()));
            Err(match (a, b) {
                (Val::Text(_), Val::Number(_)) | (Val::Number(_), Val::Text(_)) => {
                    reason.hint("`| int` and `| float` make numbers of text")
                }
                _ => reason,
            })
        }
    }
}

/// Whether a string has a part, a list an item or a map a key.
fn contains(container: &Val<'_>, wanted: &Val<'_>, budget: &Budget) -> Result<bool, Reason> {
    match (container, wanted) {
        (Val::Text(text), Val::Text(part)) => {
            budget.scan(text.len())?;
            Ok(text.contains(&**part))
        }
        (list, _) if list.is_list() => {
            for item in list.items() {
                if equal(&item, wanted, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (map, Val::Text(key)) if map.is_map() => Ok(entry(map, key, budget)?.is_some()),
        (container, wanted) => {
            Err(Reason::new(format!("{} can not be in {}", wanted.kind(), container.kind())))
        }
    }
}

/// Two values as one text.
pub(super) fn concat<'a>(left: Val<'a>, right: Val<'a>, budget: &Budget) -> Made<'a> {
    let (left, right) = (text_of(left, budget)?, text_of(right, budget)?);
    budget.make(left.len() + right.len())?;
    Ok(Val::from([&*left, &*right].concat()))
}

/// A string as it is, any other value as its JSON text.
pub(super) fn text_of<'a>(value: Val<'a>, budget: &Budget) -> Result<Text<'a>, Reason> {
    match value.there()? {
        Val::Text(text) => Ok(text),
        other => Ok(Text::Shared(write::text(&other, budget)?.into())),
    }
}
