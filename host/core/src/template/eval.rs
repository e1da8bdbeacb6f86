//! Runs a compiled expression over one scope.

use serde_json::Value;

use super::{
    Scope,
    expr::{Args, Comparison, Expr, Path, Root, Select, Slice},
    filters::{self, Values},
    limits::Budget,
    ops,
    slots::Slots,
    value::{Key, Made, Reason, Text, Val, pay_for_items, place},
};
use crate::Json;

mod missing;

/// What the names of one template stand for while it is resolved.
pub(super) struct Eval<'a> {
    pub(super) slots: &'a Slots,
    pub(super) scope: Scope<'a>,
    /// One per step that the template names; none where it has no output.
    pub(super) outputs: &'a [Option<Json>],
    pub(super) budget: Budget,
}

impl<'a> Eval<'a> {
    /// The value of an expression; an undefined one is an error only where it is used.
    pub(super) fn eval(&self, expr: &'a Expr) -> Made<'a> {
        self.budget.work(1)?;
        match expr {
            Expr::Const(value) => Ok(value.into()),
            Expr::Path(path) => Ok(self.path(path)),
            Expr::Key(of, key) => Ok(missing::child(self.eval(of)?, key)),
            Expr::Item(of, subscript) => self.item(of, subscript),
            Expr::Slice(slice) => self.slice(slice),
            Expr::Not(of) => Ok(Val::Bool(!self.eval(of)?.truthy()?)),
            Expr::Negate(of) => ops::negate(self.eval(of)?),
            Expr::And(left, right) => self.either(left, right, false),
            Expr::Or(left, right) => self.either(left, right, true),
            Expr::If(choice) => match self.eval(&choice.condition)?.truthy()? {
                true => self.eval(&choice.then),
                false => self.eval(&choice.otherwise),
            },
            Expr::Math(op, left, right) => ops::math(*op, self.eval(left)?, self.eval(right)?, &self.budget),
            Expr::Concat(left, right) => ops::concat(self.eval(left)?, self.eval(right)?, &self.budget),
            Expr::Compare(first, rest) => self.compare(first, rest),
            Expr::List(items) => {
                pay_for_items(items.len(), &self.budget)?;
                let items = items.iter().map(|item| self.eval(item)?.there());
                Ok(Val::from(items.collect::<Result<Vec<_>, _>>()?))
            }
            Expr::Map(entries) => self.map(entries),
            Expr::Range(bounds) => self.range(bounds),
            Expr::Filter(filter, of, args) => {
                filter.apply(self.eval(of)?, &mut self.args(args)?, &self.budget)
            }
            Expr::Map1(filter, of, args) => {
                let args = self.args(args)?;
                let items = self.eval(of)?.into_items(&self.budget)?;
                let mapped =
                    items.into_iter().map(|item| filter.apply(item, &mut args.clone(), &self.budget));
                Ok(Val::from(mapped.map(|item| item?.there()).collect::<Result<Vec<_>, _>>()?))
            }
            Expr::Test(test, of, args) => {
                test.holds(&self.eval(of)?, &mut self.args(args)?, &self.budget).map(Val::Bool)
            }
            Expr::Select(select) => self.select(select),
        }
    }

    /// The whole document that a name stands for.
    pub(super) fn root(&self, root: Root) -> Result<&'a Json, Reason> {
        let found = match root {
            Root::Input => Some(self.scope.input),
            Root::Step(slot) => self.outputs.get(slot).and_then(Option::as_ref),
            Root::Extra(slot) => {
                let name = self.slots.extra(slot);
                self.scope.extra.iter().find(|(extra, _)| *extra == name).map(|(_, value)| value)
            }
        };
        found.ok_or_else(|| missing::root(self, root))
    }

    /// What a path leads to, without a copy of anything.
    pub(super) fn path(&self, path: &'a Path) -> Val<'a> {
        let mut value = match self.root(path.root) {
            Ok(json) => json.value(),
            Err(reason) => return Val::missing(reason),
        };
        for (depth, key) in path.keys.iter().enumerate() {
            value = match below(value, key) {
                Some(value) => value,
                None => {
                    let above =
                        missing::path_text(self, path.root, path.keys.get(..depth).unwrap_or_default());
                    return Val::missing(missing::key(&above, &value.into(), key));
                }
            };
        }
        value.into()
    }

    fn item(&self, of: &'a Expr, subscript: &'a Expr) -> Made<'a> {
        let key = match self.eval(subscript)?.there()? {
            Val::Text(name) => Key::Name((*name).into()),
            Val::Number(number) if number.as_i64().is_some() => {
                Key::Index(number.as_i64().unwrap_or_default())
            }
            other => {
                return Err(Reason::new(format!(
                    "{} is no subscript, a string or an integer is",
                    other.kind()
                )));
            }
        };
        Ok(missing::child(self.eval(of)?, &key))
    }

    /// `and` and `or` give the operand that decides, as in Jinja.
    fn either(&self, left: &'a Expr, right: &'a Expr, decided_by: bool) -> Made<'a> {
        let value = self.eval(left)?;
        if value.truthy()? == decided_by { Ok(value) } else { self.eval(right)?.there() }
    }

    fn compare(&self, first: &'a Expr, rest: &'a [(Comparison, Expr)]) -> Made<'a> {
        let mut left = self.eval(first)?.there()?;
        for (comparison, right) in rest {
            let right = self.eval(right)?.there()?;
            if !ops::holds(*comparison, &left, &right, &self.budget)? {
                return Ok(Val::Bool(false));
            }
            left = right;
        }
        Ok(Val::Bool(true))
    }

    fn map(&self, entries: &'a [(Expr, Expr)]) -> Made<'a> {
        pay_for_items(2 * entries.len(), &self.budget)?;
        let mut map: Vec<(Text<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.eval(key)?.into_text()?;
            let value = self.eval(value)?.there()?;
            self.budget.work(map.len())?;
            match map.iter_mut().find(|(there, _)| **there == *key) {
                Some((_, there)) => *there = value,
                None => map.push((key, value)),
            }
        }
        Ok(Val::map(map))
    }

    fn range(&self, bounds: &'a [Expr]) -> Made<'a> {
        let bounds = bounds.iter().map(|bound| filters::integer(self.eval(bound)?));
        let (start, stop, step) = match *bounds.collect::<Result<Vec<_>, _>>()? {
            [stop] => (0, stop, 1),
            [start, stop] => (start, stop, 1),
            [start, stop, step] => (start, stop, step),
            _ => return Err(Reason::new("`range` takes a start, a stop and a step")),
        };
        if step == 0 {
            return Err(Reason::new("the step of `range` is zero"));
        }
        let distance = i128::from(stop) - i128::from(start);
        let count = (distance + i128::from(step) - i128::from(step.signum())) / i128::from(step);
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        pay_for_items(count, &self.budget)?;
        let items = (0..count).scan(start, |next, _| {
            let item = *next;
            *next = next.saturating_add(step);
            Some(Val::from(item))
        });
        Ok(Val::from(items.collect::<Vec<_>>()))
    }

    fn slice(&self, slice: &'a Slice) -> Made<'a> {
        let bound = |expr: &'a Option<Expr>| match expr.as_ref().map(|expr| self.eval(expr)).transpose()? {
            None | Some(Val::Null) => Ok(None),
            Some(value) => filters::integer(value).map(Some),
        };
        let of = self.eval(&slice.of)?.there()?;
        let (start, stop, step) = (bound(&slice.start)?, bound(&slice.stop)?, bound(&slice.step)?);
        match of {
            Val::Text(text) => {
                self.budget.scan(text.len())?;
                self.budget.make(text.len().saturating_mul(1 + size_of::<char>()))?;
                let chars: Vec<char> = text.chars().collect();
                let picked = filters::picked(chars.len(), start, stop, step.unwrap_or(1))?;
                Ok(Val::from(picked.filter_map(|index| chars.get(index)).collect::<String>()))
            }
            list if list.is_list() => {
                let picked =
                    filters::picked(list.length().unwrap_or_default(), start, stop, step.unwrap_or(1))?;
                pay_for_items(list.length().unwrap_or_default(), &self.budget)?;
                Ok(Val::from(picked.filter_map(|index| list.item(index)).collect::<Vec<_>>()))
            }
            other => Err(Reason::new(format!("{} can not be sliced, a string or a list can", other.kind()))),
        }
    }

    fn select(&self, select: &'a Select) -> Made<'a> {
        let attribute = match &select.attribute {
            Some(attribute) => Some(self.eval(attribute)?.into_text()?),
            None => None,
        };
        let args = select.test.as_ref().map(|(_, args)| self.args(args)).transpose()?.unwrap_or_default();
        let mut kept = Vec::new();
        for item in self.eval(&select.of)?.into_items(&self.budget)? {
            self.budget.work(1)?;
            let tested = match &attribute {
                Some(path) => filters::attribute(&item, path),
                None => item.clone(),
            };
            let holds = match &select.test {
                Some((test, _)) => test.holds(&tested, &mut args.clone(), &self.budget)?,
                // An attribute that is not there is not true.
                None => !matches!(tested, Val::Missing(_)) && tested.truthy()?,
            };
            if holds == select.keep {
                kept.push(item);
            }
        }
        Ok(Val::from(kept))
    }

    fn args(&self, args: &'a Args) -> Result<Values<'a>, Reason> {
        args.iter()
            .map(|arg| arg.as_ref().map(|arg| self.eval(arg)?.there()).transpose())
            .collect::<Result<Vec<_>, _>>()
            .map(Values)
    }
}

fn below<'a>(value: &'a Value, key: &Key) -> Option<&'a Value> {
    match (value, key) {
        (Value::Object(entries), Key::Name(name)) => entries.get(&**name),
        (Value::Array(items), Key::Index(index)) => items.get(place(*index, items.len())?),
        _ => None,
    }
}
