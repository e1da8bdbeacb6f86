//! Filters, tests and `range`: names are looked up and arguments put in their places while compiling.

use minijinja::machinery::ast;

use super::{Compiler, Fault};
use crate::template::{
    expr::{Args, Expr, Select},
    filters::{FILTERS, Filter, TESTS, Test},
};

impl Compiler<'_, '_> {
    pub(super) fn filter(&mut self, filter: &ast::Filter<'_>) -> Result<Expr, Fault> {
        let Some(of) = &filter.expr else {
            return Err(Fault::syntax(format!("the filter `{}` has nothing before it", filter.name)));
        };
        let of = self.boxed(of)?;
        match (filter.name, filter.args.first()) {
            ("map", Some(ast::CallArg::Pos(name))) => {
                let found = find_filter(literal_name(name, "map")?)?;
                let args = self.args(found.name, found.params, found.required, filter.args.get(1..))?;
                Ok(Expr::Map1(found, of, args))
            }
            (name @ ("select" | "reject"), _) => {
                let test = self.select_test(name, &filter.args)?;
                Ok(select(*of, None, test, name == "select"))
            }
            (name @ ("selectattr" | "rejectattr"), _) => {
                let Some(ast::CallArg::Pos(attribute)) = filter.args.first() else {
                    return Err(wrong_arguments(name, "the name of an attribute comes first"));
                };
                let attribute = self.expr(attribute)?;
                let test = self.select_test(name, filter.args.get(1..).unwrap_or_default())?;
                Ok(select(*of, Some(attribute), test, name == "selectattr"))
            }
            (name, _) => {
                let found = find_filter(name)?;
                let args = self.args(found.name, found.params, found.required, Some(&filter.args))?;
                Ok(Expr::Filter(found, of, args))
            }
        }
    }

    pub(super) fn test(&mut self, test: &ast::Test<'_>) -> Result<Expr, Fault> {
        let of = self.boxed(&test.expr)?;
        let found = find_test(test.name)?;
        let args = self.args(found.name, found.params, found.params.len(), Some(&test.args))?;
        Ok(Expr::Test(found, of, args))
    }

    pub(super) fn call(&mut self, call: &ast::Call<'_>) -> Result<Expr, Fault> {
        match call.identify_call() {
            ast::CallType::Function("range") => {
                let args = self.args("range", &["start", "stop", "step"], 1, Some(&call.args))?;
                Ok(Expr::Range(args.into_iter().flatten().collect()))
            }
            ast::CallType::Function(name) => {
                Err(Fault::new("unknown_function", format!("there is no function `{name}`, only `range`"))
                    .hint(format!("if it is a filter: `value | {name}`")))
            }
            ast::CallType::Method(_, name) => {
                Err(Fault::new("unknown_function", format!("values have no methods such as `.{name}()`"))
                    .hint(format!("if there is a filter of that name: `value | {name}`")))
            }
            _ => Err(Fault::new("unknown_function", "a value can not be called")),
        }
    }

    fn select_test(
        &mut self,
        filter: &str,
        args: &[ast::CallArg<'_>],
    ) -> Result<Option<(&'static Test, Args)>, Fault> {
        let Some(first) = args.first() else { return Ok(None) };
        let ast::CallArg::Pos(name) = first else {
            return Err(wrong_arguments(filter, "the name of a test comes first"));
        };
        let found = find_test(literal_name(name, filter)?)?;
        let args = self.args(found.name, found.params, found.params.len(), args.get(1..))?;
        Ok(Some((found, args)))
    }

    /// Puts arguments, by position and by name, where the callee's parameters are.
    fn args(
        &mut self,
        callee: &str,
        params: &[&str],
        required: usize,
        given: Option<&[ast::CallArg<'_>]>,
    ) -> Result<Args, Fault> {
        let mut args: Args = params.iter().map(|_| None).collect();
        for (position, arg) in given.unwrap_or_default().iter().enumerate() {
            let (place, value) = match arg {
                ast::CallArg::Pos(value) => (position, value),
                ast::CallArg::Kwarg(name, value) => {
                    let place = params.iter().position(|param| param == name);
                    (place.ok_or_else(|| wrong_arguments(callee, &no_parameter(name, params)))?, value)
                }
                _ => return Err(wrong_arguments(callee, "`*` and `**` are not supported")),
            };
            let value = self.expr(value)?;
            match args.get_mut(place) {
                Some(slot @ None) => *slot = Some(value),
                Some(Some(_)) => return Err(wrong_arguments(callee, "an argument is given twice")),
                None => return Err(wrong_arguments(callee, &format!("at most {} are taken", params.len()))),
            }
        }
        let missing = params.iter().zip(&args).take(required).find(|(_, arg)| arg.is_none());
        match missing {
            Some((name, _)) => Err(wrong_arguments(callee, &format!("`{name}` is missing"))),
            None => Ok(args),
        }
    }
}

fn select(of: Expr, attribute: Option<Expr>, test: Option<(&'static Test, Args)>, keep: bool) -> Expr {
    Expr::Select(Box::new(Select { of, attribute, test, keep }))
}

fn literal_name<'t>(tree: &'t ast::Expr<'_>, filter: &str) -> Result<&'t str, Fault> {
    match tree {
        ast::Expr::Const(constant) => constant.value.as_str(),
        _ => None,
    }
    .ok_or_else(|| wrong_arguments(filter, "the name must stand there as a string"))
}

fn find_filter(name: &str) -> Result<&'static Filter, Fault> {
    FILTERS
        .iter()
        .find(|filter| filter.name == name)
        .ok_or_else(|| unknown("unknown_filter", "filter", name, FILTERS.iter().map(|filter| filter.name)))
}

fn find_test(name: &str) -> Result<&'static Test, Fault> {
    TESTS
        .iter()
        .find(|test| test.name == name)
        .ok_or_else(|| unknown("unknown_test", "test", name, TESTS.iter().map(|test| test.name)))
}

fn unknown(code: &'static str, what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> Fault {
    let known: Vec<_> = known.collect();
    let fault = Fault::new(code, format!("there is no {what} `{}`", crate::ids::shorten(name)));
    match super::super::nearest(name, known.iter().copied()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are {}", known.join(", "))),
    }
}

fn no_parameter(name: &str, params: &[&str]) -> String {
    match params {
        [] => format!("there is no parameter `{name}`, it takes none"),
        _ => format!("there is no parameter `{name}`, only `{}`", params.join("`, `")),
    }
}

fn wrong_arguments(callee: &str, why: &str) -> Fault {
    Fault::new("template_arguments", format!("the arguments of `{callee}` are wrong: {why}"))
}
