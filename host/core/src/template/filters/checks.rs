//! Tests: `value is name(args)`, and in `select('name', args)`.

use super::Values;
use crate::template::{
    expr::Comparison,
    limits::Budget,
    ops::{self, Num},
    value::{Reason, Val},
};

/// A test of a value.
pub(in crate::template) struct Test {
    pub(in crate::template) name: &'static str,
    /// All must be given.
    pub(in crate::template) params: &'static [&'static str],
    /// Takes an undefined value too.
    lenient: bool,
    run: Run,
}

type Run = for<'a> fn(&Val<'a>, &mut Values<'a>, &Budget) -> Result<bool, Reason>;

const fn test(name: &'static str, params: &'static [&'static str], run: Run) -> Test {
    Test { name, params, lenient: false, run }
}

const fn lenient(name: &'static str, run: Run) -> Test {
    Test { name, params: &[], lenient: true, run }
}

/// Every test there is.
pub(in crate::template) static TESTS: &[Test] = &[
    lenient("defined", |value, _, _| Ok(!matches!(value, Val::Missing(_)))),
    lenient("undefined", |value, _, _| Ok(matches!(value, Val::Missing(_)))),
    test("none", &[], |value, _, _| Ok(matches!(value, Val::Null))),
    test("null", &[], |value, _, _| Ok(matches!(value, Val::Null))),
    test("boolean", &[], |value, _, _| Ok(matches!(value, Val::Bool(_)))),
    test("true", &[], |value, _, _| Ok(matches!(value, Val::Bool(true)))),
    test("false", &[], |value, _, _| Ok(matches!(value, Val::Bool(false)))),
    test("number", &[], |value, _, _| Ok(matches!(value, Val::Number(_)))),
    test("integer", &[], |value, _, _| Ok(matches!(number(value), Some(Num::Int(_))))),
    test("int", &[], |value, _, _| Ok(matches!(number(value), Some(Num::Int(_))))),
    test("float", &[], |value, _, _| Ok(matches!(number(value), Some(Num::Float(_))))),
    test("string", &[], |value, _, _| Ok(matches!(value, Val::Text(_)))),
    test("sequence", &[], |value, _, _| Ok(value.is_list())),
    test("mapping", &[], |value, _, _| Ok(value.is_map())),
    test("iterable", &[], |value, _, _| Ok(value.length().is_some())),
    test("empty", &[], |value, _, _| Ok(value.length() == Some(0))),
    test("even", &[], |value, _, _| divisible(value, 2)),
    test("odd", &[], |value, _, _| divisible(value, 2).map(|even| !even)),
    test("divisibleby", &["num"], |value, args, _| {
        let by = args.integer(0)?.unwrap_or_default();
        divisible(value, by.into())
    }),
    test("startingwith", &["start"], |value, args, _| {
        let start = args.text(0)?;
        Ok(value.clone().into_text()?.starts_with(start.as_deref().unwrap_or_default()))
    }),
    test("endingwith", &["end"], |value, args, _| {
        let end = args.text(0)?;
        Ok(value.clone().into_text()?.ends_with(end.as_deref().unwrap_or_default()))
    }),
    test("in", &["seq"], |value, args, budget| compare(Comparison::In, value, args, budget)),
    test("eq", &["other"], |value, args, budget| compare(Comparison::Equal, value, args, budget)),
    test("equalto", &["other"], |value, args, budget| compare(Comparison::Equal, value, args, budget)),
    test("==", &["other"], |value, args, budget| compare(Comparison::Equal, value, args, budget)),
    test("ne", &["other"], |value, args, budget| compare(Comparison::NotEqual, value, args, budget)),
    test("!=", &["other"], |value, args, budget| compare(Comparison::NotEqual, value, args, budget)),
    test("lt", &["other"], |value, args, budget| compare(Comparison::Less, value, args, budget)),
    test("lessthan", &["other"], |value, args, budget| compare(Comparison::Less, value, args, budget)),
    test("<", &["other"], |value, args, budget| compare(Comparison::Less, value, args, budget)),
    test("le", &["other"], |value, args, budget| compare(Comparison::LessOrEqual, value, args, budget)),
    test("<=", &["other"], |value, args, budget| compare(Comparison::LessOrEqual, value, args, budget)),
    test("gt", &["other"], |value, args, budget| compare(Comparison::Greater, value, args, budget)),
    test("greaterthan", &["other"], |value, args, budget| compare(Comparison::Greater, value, args, budget)),
    test(">", &["other"], |value, args, budget| compare(Comparison::Greater, value, args, budget)),
    test("ge", &["other"], |value, args, budget| compare(Comparison::GreaterOrEqual, value, args, budget)),
    test(">=", &["other"], |value, args, budget| compare(Comparison::GreaterOrEqual, value, args, budget)),
];

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Test {
    pub(in crate::template) fn holds<'a>(
        &self,
        value: &Val<'a>,
        args: &mut Values<'a>,
        budget: &Budget,
    ) -> Result<bool, Reason> {
        budget.work(1)?;
        match value {
            Val::Missing(reason) if !self.lenient => Err((**reason).clone()),
            value => (self.run)(value, args, budget),
        }
    }
}

fn compare<'a>(
    comparison: Comparison,
    value: &Val<'a>,
    args: &mut Values<'a>,
    budget: &Budget,
) -> Result<bool, Reason> {
    let other = args.0.get_mut(0).and_then(Option::take).unwrap_or(Val::Null);
    ops::holds(comparison, value, &other, budget)
}

fn number(value: &Val<'_>) -> Option<Num> {
    match value {
        Val::Number(number) => Some(number.into()),
        _ => None,
    }
}

fn divisible(value: &Val<'_>, by: i128) -> Result<bool, Reason> {
    match number(value) {
        Some(Num::Int(_)) if by == 0 => Err(Reason::new("division by zero")),
        Some(Num::Int(int)) => Ok(int % by == 0),
        _ => Err(Reason::new(format!("an integer is needed here, not {}", value.kind()))),
    }
}
