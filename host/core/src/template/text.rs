//! Splits a string into plain text and the expressions between `{{` and `}}`.

use super::{compile::Fault, limits::MAX_EXPRESSION_BYTES};

/// A piece of a string.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    /// What stands between the braces, trimmed.
    Expression(&'t str),
}

/// Only `{{` is special. A `{%` block next to it is refused: what it names could not be read from the text.
/// Nothing else of a string that holds no `{{` is looked at, so that code and prose pass unchanged.
pub(super) fn split(text: &str) -> Result<Vec<Piece<'_>>, Fault> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        plain(before, &mut pieces)?;
        let Some(end) = end_of_expression(after) else {
            return Err(
                Fault::syntax("`{{` without its `}}`").hint("write `{{ '{{' }}` for the two characters")
            );
        };
        let (inner, after) = after.split_at_checked(end).unwrap_or((after, ""));
        pieces.push(Piece::Expression(expression(inner)?));
        rest = after.get(2..).unwrap_or_default();
    }
    plain(rest, &mut pieces)?;
    Ok(pieces)
}

fn plain<'t>(text: &'t str, pieces: &mut Vec<Piece<'t>>) -> Result<(), Fault> {
    if text.is_empty() {
        return Ok(());
    }
    if text.split_once("{%").is_some_and(|(_, after)| after.contains("%}")) {
        return Err(Fault::new("template_block", "`{% … %}` is not supported beside `{{ … }}`")
            .hint("use `{{ a if b else c }}` and filters; write `{{ '{%' }}` for the two characters"));
    }
    pieces.push(Piece::Text(text));
    Ok(())
}

fn expression(inner: &str) -> Result<&str, Fault> {
    if inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']) {
        return Err(Fault::syntax("`{{-` and `-}}` do not strip blanks here")
            .hint("put a blank between the braces and the expression"));
    }
    let inner = inner.trim();
    if inner.len() > MAX_EXPRESSION_BYTES {
        return Err(Fault::new(
            "template_too_big",
            format!("an expression is over {MAX_EXPRESSION_BYTES} bytes"),
        )
        .hint("do it in a step, such as `inline_code`"));
    }
    if inner.is_empty() {
        return Err(Fault::syntax("`{{ }}` is empty").hint("write `{{ '{{' }}` for the two characters"));
    }
    Ok(inner)
}

/// Where the `}}` is that ends the expression: not within a string or a map.
fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, _) => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Piece<'_>]) {
        assert_eq!(split(text).unwrap(), expected, "{text}");
    }

    #[track_caller]
    fn check_refused(text: &str, code: &str) {
        assert_eq!(split(text).unwrap_err().code, code, "{text}");
    }

    #[test]
    fn only_double_braces_are_special() {
        use Piece::{Expression, Text};
        check("", &[]);
        check("a {b} {% c {# d #}", &[Text("a {b} {% c {# d #}")]);
        check("a {{ b }}", &[Text("a "), Expression("b")]);
        check("{{a}}{{b}}", &[Expression("a"), Expression("b")]);
        check("{{ '}}' }}", &[Expression("'}}'")]);
        check(r#"{{ "\"}}" }}!"#, &[Expression(r#""\"}}""#), Text("!")]);
        check("{{ {'a': {'b': 1}} }}", &[Expression("{'a': {'b': 1}}")]);
        check("{{ '{{' }}é }}", &[Expression("'{{'"), Text("é }}")]);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        check_refused("{{ a", "template_syntax");
        check_refused("{{ 'a }}", "template_syntax");
        check_refused("{{ }}", "template_syntax");
        check_refused("{{- a }}", "template_syntax");
        check_refused("{{ a -}}", "template_syntax");
        check_refused("{% if x %}{{ a }}{% endif %}", "template_block");
        check_refused(&format!("{{{{ '{}' }}}}", "x".repeat(20_000)), "template_too_big");
    }
}
