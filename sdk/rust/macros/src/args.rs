//! The arguments of `#[stepcell::step]` and `#[stepcell::control]`.

use proc_macro2::{Span, TokenStream};
use syn::{
    Error, Ident, Lit, LitInt, LitStr, Path, Result, Token, bracketed, ext::IdentExt, meta::ParseNestedMeta,
    parse::Parser, punctuated::Punctuated,
};

/// The same list as the host's; a category outside of it would be refused there.
const CATEGORIES: [&str; 6] = ["integrations", "ai", "logic", "data", "flow", "custom"];

#[derive(Default)]
pub(crate) struct Args {
    pub(crate) kind: Option<LitStr>,
    pub(crate) label: Option<LitStr>,
    pub(crate) icon: Option<LitStr>,
    pub(crate) category: Option<LitStr>,
    pub(crate) context_fields: Vec<LitStr>,
    pub(crate) max_output_bytes: Option<LitInt>,
    pub(crate) literal: Vec<(String, LitStr)>,
    pub(crate) deferred: Vec<LitStr>,
    pub(crate) matches: Vec<(String, String)>,
    pub(crate) tokens: Option<LitStr>,
    pub(crate) examples: Option<LitStr>,
    pub(crate) ports: Vec<LitStr>,
    pub(crate) resume: Option<Path>,
}

impl Args {
    /// Parses them; `control` says whether `ports` and `resume` may be there.
    pub(crate) fn parse(tokens: TokenStream, control: bool) -> Result<Self> {
        let mut args = Self::default();
        syn::meta::parser(|meta| args.take(&meta, control)).parse2(tokens)?;
        args.check()?;
        Ok(args)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>, control: bool) -> Result<()> {
        let name = meta.path.require_ident()?.unraw().to_string();
        match name.as_str() {
            "type" => self.kind = Some(meta.value()?.parse()?),
            "label" => self.label = Some(meta.value()?.parse()?),
            "icon" => self.icon = Some(meta.value()?.parse()?),
            "category" => self.category = Some(meta.value()?.parse()?),
            "context_fields" => self.context_fields = strings(meta)?,
            "max_output_bytes" => self.max_output_bytes = Some(meta.value()?.parse()?),
            "literal" => self.literal = pairs(meta, |key, value| Ok((key, string(value)?)))?,
            "deferred" => self.deferred = strings(meta)?,
            "match" => self.matches = pairs(meta, |key, value| Ok((key, json(&value)?)))?,
            "tokens" => self.tokens = Some(meta.value()?.parse()?),
            "examples" => self.examples = Some(meta.value()?.parse()?),
            "ports" if control => self.ports = strings(meta)?,
            "resume" if control => self.resume = Some(meta.value()?.parse()?),
            "ports" | "resume" => return Err(meta.error("only `#[stepcell::control]` takes this")),
            _ => return Err(meta.error("no argument of this name")),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if let Some(category) = &self.category
            && !CATEGORIES.contains(&category.value().as_str())
        {
            return Err(Error::new(
                category.span(),
                format!("a category is one of {}", CATEGORIES.join(", ")),
            ));
        }
        if let Some(tokens) = &self.tokens
            && !tokens.value().starts_with('$')
        {
            let message = "a JSONPath into the output begins with `$`, such as `$.usage.total_tokens`";
            return Err(Error::new(tokens.span(), message));
        }
        if let Some(kind) = &self.kind {
            check_kind(&kind.value(), kind.span())?;
        }
        Ok(())
    }
}

/// The same rule as the host's for a name of a step type.
pub(crate) fn check_kind(kind: &str, span: Span) -> Result<()> {
    let mut letters = kind.bytes();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_lowercase());
    let rest = letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_');
    if first && rest && kind.len() <= 64 {
        return Ok(());
    }
    Err(Error::new(span, format!("`{kind}` is no step type: at most 64 of a-z, 0-9 and _, a letter first")))
}

fn strings(meta: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    let value = meta.value()?;
    let list;
    bracketed!(list in value);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?.into_iter().collect())
}

fn pairs<T>(meta: &ParseNestedMeta<'_>, pair: impl Fn(String, Lit) -> Result<T>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    meta.parse_nested_meta(|inner| {
        let key: &Ident = inner.path.require_ident()?;
        found.push(pair(key.unraw().to_string(), inner.value()?.parse()?)?);
        Ok(())
    })?;
    Ok(found)
}

fn string(literal: Lit) -> Result<LitStr> {
    match literal {
        Lit::Str(text) => Ok(text),
        other => Err(Error::new(other.span(), "expected a string")),
    }
}

/// The JSON text of a literal.
fn json(literal: &Lit) -> Result<String> {
    match literal {
        Lit::Str(text) => Ok(quoted(&text.value())),
        Lit::Bool(value) => Ok(value.value.to_string()),
        Lit::Int(number) => Ok(number.base10_digits().to_owned()),
        other => Err(Error::new(other.span(), "expected a string, a number or a truth value")),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
