//! The filters and tests of expressions. None reaches out, reads a clock or is random.
//!
//! They are Jinja's, by name and meaning, as far as they make sense for JSON. What differs: `urlencode` also
//! encodes `/`, so that data can not change a path; `tojson` does not escape for HTML; numbers and strings are
//! never compared; `keys`, `values`, `merge` and `fromjson` are new; `format`, `indent`, `batch` and all that
//! is for HTML are left out.

use super::{
    limits::Budget,
    value::{Made, Reason, Val, place},
};

mod checks;
mod json;
mod lists;
mod maps;
mod numbers;

mod text;

pub(super) use checks::{TESTS, Test};

/// A filter: `value | name(args)`.
pub(super) struct Filter {
    pub(super) name: &'static str,
    pub(super) params: &'static [&'static str],
    /// How many of them must be given.
    pub(super) required: usize,
    /// Takes an undefined value too.
    lenient: bool,
    run: Run,
}

type Run = for<'a> fn(Val<'a>, &mut Values<'a>, &Budget) -> Made<'a>;

/// The arguments of a call, one per parameter.
#[derive(Debug, Clone, Default)]
pub(super) struct Values<'a>(pub(super) Vec<Option<Val<'a>>>);

const fn filter(name: &'static str, params: &'static [&'static str], required: usize, run: Run) -> Filter {
    Filter { name, params, required, lenient: false, run }
}

const fn lenient(name: &'static str, params: &'static [&'static str], run: Run) -> Filter {
    Filter { name, params, required: 0, lenient: true, run }
}

/// Every filter; `map`, `select`, `reject`, `selectattr` and `rejectattr` with the name of a filter or test
/// are part of the language and stand in the compiler.
pub(super) static FILTERS: &[Filter] = &[
    filter("abs", &[], 0, numbers::abs),
    filter("bool", &[], 0, numbers::bool),
    filter("capitalize", &[], 0, text::capitalize),
    filter("count", &[], 0, lists::length),
    lenient("d", &["value", "boolean"], default),
    lenient("default", &["value", "boolean"], default),
    filter("dictsort", &["case_sensitive", "by", "reverse"], 0, maps::dictsort),
    filter("first", &[], 0, lists::first),
    filter("float", &["default"], 0, numbers::float),
    filter("fromjson", &[], 0, json::fromjson),
    filter("groupby", &["attribute", "default", "case_sensitive"], 1, lists::groupby),
    filter("int", &["default"], 0, numbers::int),
    filter("items", &[], 0, maps::items),
    filter("join", &["d", "attribute"], 0, lists::join),
    filter("keys", &[], 0, maps::keys),
    filter("last", &[], 0, lists::last),
    filter("length", &[], 0, lists::length),
    filter("lines", &[], 0, text::lines),
    filter("list", &[], 0, lists::list),
    filter("lower", &[], 0, text::lower),
    filter("map", &["attribute", "default"], 1, lists::map_attribute),
    filter("max", &[], 0, lists::max),
    filter("merge", &["other"], 1, maps::merge),
    filter("min", &[], 0, lists::min),
    filter("replace", &["old", "new"], 2, text::replace),
    filter("reverse", &[], 0, lists::reverse),
    filter("round", &["precision", "method"], 0, numbers::round),
    filter("sort", &["reverse", "case_sensitive", "attribute"], 0, lists::sort),
    filter("split", &["sep", "maxsplit"], 0, text::split),
    filter("string", &[], 0, text::string),
    filter("sum", &["attribute", "start"], 0, numbers::sum),
    filter("title", &[], 0, text::title),
    filter("tojson", &["indent"], 0, json::tojson),
    filter("trim", &["chars"], 0, text::trim),
    filter("unique", &["case_sensitive", "attribute"], 0, lists::unique),
    filter("upper", &[], 0, text::upper),
    filter("urlencode", &[], 0, text::urlencode),
    filter("values", &[], 0, maps::values),
];

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Filter {
    pub(super) fn apply<'a>(&self, value: Val<'a>, args: &mut Values<'a>, budget: &Budget) -> Made<'a> {
        budget.work(1)?;
        let value = if self.lenient { value } else { value.there()? };
        (self.run)(value, args, budget)
            .map_err(|reason| Reason { message: format!("`{}`: {}", self.name, reason.message), ..reason })
    }
}

impl<'a> Values<'a> {
    /// The argument at a place; none where it was left out or is `null`.
    fn take(&mut self, place: usize) -> Option<Val<'a>> {
        self.0.get_mut(place)?.take().filter(|value| !matches!(value, Val::Null))
    }

    fn text(&mut self, place: usize) -> Result<Option<super::value::Text<'a>>, Reason> {
        self.take(place).map(Val::into_text).transpose()
    }

    fn integer(&mut self, place: usize) -> Result<Option<i64>, Reason> {
        self.take(place).map(integer).transpose()
    }

    fn flag(&mut self, place: usize) -> Result<bool, Reason> {
        self.take(place).map_or(Ok(false), |value| value.truthy())
    }
}

/// An integer of 64 bits.
pub(super) fn integer(value: Val<'_>) -> Result<i64, Reason> {
    match value.there()? {
        Val::Number(number) => number.as_i64(),
        other => return Err(Reason::new(format!("an integer is needed here, not {}", other.kind()))),
    }
    .ok_or_else(|| Reason::new("an integer of 64 bits is needed here"))
}

/// What lies at a dotted path below a value, such as `address.city` or `0.name`.
pub(super) fn attribute<'a>(value: &Val<'a>, path: &str) -> Val<'a> {
    let mut value = value.clone();
    for name in path.split('.') {
        let found = match name.parse().ok().filter(|_| value.is_list()) {
            Some(index) => {
                place(index, value.length().unwrap_or_default()).and_then(|index| value.item(index))
            }
            None => value.entry(name),
        };
        value = match found {
            Some(value) => value,
            None => {
                let path = crate::ids::shorten(path);
                return Val::missing(Reason::new(format!("{} of the list has no `{path}`", value.kind())));
            }
        };
    }
    value
}

/// The indices that `[start:stop:step]` picks of a list of this length, as Python has it.
pub(super) fn picked(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> Result<impl Iterator<Item = usize>, Reason> {
    if step == 0 {
        return Err(Reason::new("the step of a slice is zero"));
    }
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    // Backwards, -1 stands for "before the first".
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |bound: Option<i64>, default: i64| {
        bound.map_or(default, |at| if at < 0 { at.saturating_add(length) } else { at }.clamp(lowest, highest))
    };
    let (from, to) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (from, to) = (bound(start, from), bound(stop, to));
    let indices = std::iter::successors(Some(from), move |at| at.checked_add(step));
    let inside = move |at: &i64| if step > 0 { *at < to } else { *at > to };
    Ok(indices.take_while(inside).filter_map(|at| usize::try_from(at).ok()))
}

fn default<'a>(value: Val<'a>, args: &mut Values<'a>, _: &Budget) -> Made<'a> {
    let missing = matches!(value, Val::Missing(_));
    if missing || args.flag(1)? && !value.truthy()? {
        // `null` is a default like any other.
        let given = args.0.get_mut(0).and_then(Option::take);
        return Ok(given.unwrap_or_else(|| Val::from(String::new())));
    }
    Ok(value)
}
