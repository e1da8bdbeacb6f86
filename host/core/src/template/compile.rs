//! Expression text to [`Expr`], with the names it uses.
//!
//! minijinja reads the text, so that the language is Jinja's to the last operator; its tree tells every name
//! that is used. Its machine was rejected for running it: its fuel counts instructions, while one instruction
//! may repeat a list lazily 10^8 times, compare two such lists, or join 100 MB strings, already while compiling.

use minijinja::{
    Error as SyntaxError,
    machinery::{ast, parse_expr, tokenize},
    syntax::SyntaxConfig,
};
use serde_json::Value;

use super::{
    expr::{Comparison, Expr, If, Math, Path, Root, Slice},
    limits::{MAX_NESTING, MAX_TOKENS},
    names::Names,
    value::Key,
};

mod call;

/// What is wrong with a text, without the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    pub(super) fn syntax(message: impl Into<String>) -> Self {
        Self::new("template_syntax", message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Compiles one expression; `names` learns what it uses.
pub(super) fn compile(text: &str, names: &mut Names<'_>) -> Result<Expr, Fault> {
    check_size(text)?;
    let tree = parse_expr(text).map_err(|error| syntax(text, &error))?;
    Compiler { names, depth: 0 }.expr(&tree)
}

/// The parser's recursion has no limit of its own in every place, so that tokens are counted first.
fn check_size(text: &str) -> Result<(), Fault> {
    let mut tokens = tokenize(text, true, SyntaxConfig::default());
    if tokens.by_ref().take(MAX_TOKENS + 1).take_while(Result::is_ok).count() > MAX_TOKENS {
        return Err(Fault::new(
            "template_too_big",
            format!("an expression has more than {MAX_TOKENS} parts"),
        )
        .hint("do it in a step, such as `inline_code`"));
    }
    Ok(())
}

fn syntax(text: &str, error: &SyntaxError) -> Fault {
    let reason = error.detail().unwrap_or("it can not be read");
    Fault::syntax(format!("`{}` is no expression: {reason}", crate::ids::shorten(text)))
}

struct Compiler<'c, 'n> {
    names: &'c mut Names<'n>,
    depth: usize,
}

impl Compiler<'_, '_> {
    fn boxed(&mut self, tree: &ast::Expr<'_>) -> Result<Box<Expr>, Fault> {
        self.expr(tree).map(Box::new)
    }

    fn optional(&mut self, tree: Option<&ast::Expr<'_>>) -> Result<Option<Expr>, Fault> {
        tree.map(|tree| self.expr(tree)).transpose()
    }

    fn expr(&mut self, tree: &ast::Expr<'_>) -> Result<Expr, Fault> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(Fault::new(
                "template_too_big",
                format!("an expression nests over {MAX_NESTING} deep"),
            )
            .hint("do it in a step, such as `inline_code`"));
        }
        let expr = self.node(tree);
        self.depth -= 1;
        expr
    }

    fn node(&mut self, tree: &ast::Expr<'_>) -> Result<Expr, Fault> {
        match tree {
            ast::Expr::Var(_) | ast::Expr::GetAttr(_) | ast::Expr::GetItem(_) => self.lookup(tree),
            ast::Expr::Const(constant) => literal(&constant.value).map(Expr::Const),
            ast::Expr::Slice(slice) => self.slice(slice),
            ast::Expr::UnaryOp(unary) => {
                let of = self.boxed(&unary.expr)?;
                Ok(match unary.op {
                    ast::UnaryOpKind::Not => Expr::Not(of),
                    ast::UnaryOpKind::Neg => Expr::Negate(of),
                })
            }
            ast::Expr::BinOp(binary) => self.binary(binary),
            ast::Expr::Compare(compare) => {
                let first = self.boxed(&compare.expr)?;
                let rest = compare.ops.iter().map(|op| Ok((comparison(op.op), self.expr(&op.expr)?)));
                Ok(Expr::Compare(first, rest.collect::<Result<_, Fault>>()?))
            }
            ast::Expr::IfExpr(choice) => self.choice(choice),
            ast::Expr::Filter(filter) => self.filter(filter),
            ast::Expr::Test(test) => self.test(test),
            ast::Expr::Call(call) => self.call(call),
            ast::Expr::List(list) => self.list(&list.items),
            ast::Expr::Tuple(tuple) => self.list(&tuple.items),
            ast::Expr::Map(map) => {
                let entries = map.keys.iter().zip(&map.values);
                let entries = entries.map(|(key, value)| Ok((self.expr(key)?, self.expr(value)?)));
                entries.collect::<Result<_, Fault>>().map(Expr::Map)
            }
        }
    }

    fn list(&mut self, items: &[ast::Expr<'_>]) -> Result<Expr, Fault> {
        items.iter().map(|item| self.expr(item)).collect::<Result<_, Fault>>().map(Expr::List)
    }

    /// A name with all that hangs on it: `steps.a.b[0]` is one path, of any length.
    fn lookup(&mut self, tree: &ast::Expr<'_>) -> Result<Expr, Fault> {
        let mut keys = Vec::new();
        let mut base = tree;
        loop {
            let (below, key) = match base {
                ast::Expr::GetAttr(attribute) => (&attribute.expr, Some(Key::Name(attribute.name.into()))),
                ast::Expr::GetItem(item) => (&item.expr, literal_key(&item.subscript_expr)),
                _ => break,
            };
            let Some(key) = key else { break };
            keys.push(key);
            base = below;
        }
        keys.reverse();
        match base {
            ast::Expr::Var(name) => self.path(name.id, keys),
            ast::Expr::GetItem(item) => {
                if let Some(name) = self.names.closed_root(&item.expr) {
                    return Err(dynamic(name));
                }
                let of = self.boxed(&item.expr)?;
                let computed = Expr::Item(of, self.boxed(&item.subscript_expr)?);
                Ok(below(computed, keys))
            }
            other => Ok(below(self.expr(other)?, keys)),
        }
    }

    fn path(&mut self, name: &str, mut keys: Vec<Key>) -> Result<Expr, Fault> {
        match name {
            "null" => return Ok(below(Expr::Const(Value::Null), keys)),
            "input" => {
                self.names.input();
                return Ok(Expr::Path(Path { root: Root::Input, keys }));
            }
            "steps" | "secret" => {}
            other => {
                let root = self.names.extra(other);
                return Ok(Expr::Path(Path { root, keys }));
            }
        }
        if !matches!(keys.first(), Some(Key::Name(_))) {
            return Err(dynamic(name));
        }
        if name == "secret" {
            if let Some(Key::Name(secret)) = keys.first() {
                self.names.secret(secret);
            }
            let root = self.names.extra_slot("secret");
            return Ok(Expr::Path(Path { root, keys }));
        }
        let root = match keys.remove(0) {
            Key::Name(step) => self.names.step(&step),
            Key::Index(_) => return Err(dynamic(name)),
        };
        Ok(Expr::Path(Path { root, keys }))
    }

    fn slice(&mut self, slice: &ast::Slice<'_>) -> Result<Expr, Fault> {
        Ok(Expr::Slice(Box::new(Slice {
            of: self.expr(&slice.expr)?,
            start: self.optional(slice.start.as_ref())?,
            stop: self.optional(slice.stop.as_ref())?,
            step: self.optional(slice.step.as_ref())?,
        })))
    }

    fn choice(&mut self, choice: &ast::IfExpr<'_>) -> Result<Expr, Fault> {
        let Some(otherwise) = &choice.false_expr else {
            return Err(Fault::syntax("an `if` without `else` has no value where it is false")
                .hint("write `{{ a if b else c }}`; `null` is a value"));
        };
        Ok(Expr::If(Box::new(If {
            condition: self.expr(&choice.test_expr)?,
            then: self.expr(&choice.true_expr)?,
            otherwise: self.expr(otherwise)?,
        })))
    }

    fn binary(&mut self, binary: &ast::BinOp<'_>) -> Result<Expr, Fault> {
        use ast::BinOpKind as Op;
        let left = self.boxed(&binary.left)?;
        let right = self.boxed(&binary.right)?;
        let compare =
            |comparison, left, right: Box<Expr>| Ok(Expr::Compare(left, vec![(comparison, *right)]));
        match binary.op {
            Op::Eq => compare(Comparison::Equal, left, right),
            Op::Ne => compare(Comparison::NotEqual, left, right),
            Op::Lt => compare(Comparison::Less, left, right),
            Op::Lte => compare(Comparison::LessOrEqual, left, right),
            Op::Gt => compare(Comparison::Greater, left, right),
            Op::Gte => compare(Comparison::GreaterOrEqual, left, right),
            Op::In => compare(Comparison::In, left, right),
            Op::ScAnd => Ok(Expr::And(left, right)),
            Op::ScOr => Ok(Expr::Or(left, right)),
            Op::Concat => Ok(Expr::Concat(left, right)),
            Op::Add => Ok(Expr::Math(Math::Add, left, right)),
            Op::Sub => Ok(Expr::Math(Math::Subtract, left, right)),
            Op::Mul => Ok(Expr::Math(Math::Multiply, left, right)),
            Op::Div => Ok(Expr::Math(Math::Divide, left, right)),
            Op::FloorDiv => Ok(Expr::Math(Math::FloorDivide, left, right)),
            Op::Rem => Ok(Expr::Math(Math::Remainder, left, right)),
            Op::Pow => Ok(Expr::Math(Math::Power, left, right)),
        }
    }
}

fn below(base: Expr, keys: Vec<Key>) -> Expr {
    keys.into_iter().fold(base, |base, key| Expr::Key(Box::new(base), key))
}

fn comparison(op: ast::CompareOpKind) -> Comparison {
    match op {
        ast::CompareOpKind::Eq => Comparison::Equal,
        ast::CompareOpKind::Ne => Comparison::NotEqual,
        ast::CompareOpKind::Lt => Comparison::Less,
        ast::CompareOpKind::Lte => Comparison::LessOrEqual,
        ast::CompareOpKind::Gt => Comparison::Greater,
        ast::CompareOpKind::Gte => Comparison::GreaterOrEqual,
        ast::CompareOpKind::In => Comparison::In,
        ast::CompareOpKind::NotIn => Comparison::NotIn,
    }
}

fn literal(value: &minijinja::Value) -> Result<Value, Fault> {
    let number = |_| Fault::syntax(format!("the number {value} does not fit into 64 bits"));
    serde_json::to_value(value).map_err(number)
}

/// The key where it stands in the text: a string or an integer.
fn literal_key(tree: &ast::Expr<'_>) -> Option<Key> {
    match tree {
        ast::Expr::Const(constant) => match constant.value.as_str() {
            Some(name) => Some(Key::Name(name.into())),
            None if constant.value.is_integer() => constant.value.as_i64().map(Key::Index),
            None => None,
        },
        ast::Expr::UnaryOp(unary) if matches!(unary.op, ast::UnaryOpKind::Neg) => {
            match literal_key(&unary.expr)? {
                Key::Index(index) => Some(Key::Index(-index)),
                Key::Name(_) => None,
            }
        }
        _ => None,
    }
}

fn dynamic(name: &str) -> Fault {
    let example = if name == "steps" { "steps.fetch" } else { "secret.NAME" };
    Fault::new(
        "dynamic_reference",
        format!(
            "`{name}` stands alone or with a computed subscript; what it refers to must stand in the text"
        ),
    )
    .hint(format!("name each one, as in `{example}` or `{name}[\"…\"]`"))
}
