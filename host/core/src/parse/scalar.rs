//! What a plain YAML scalar means: the core schema of YAML 1.2, in which `yes` and `no` are texts.

use serde_json::Number;

use super::node::Kind;

/// The value of an unquoted scalar. `None` for a number that JSON has no form for: `.inf`, `.nan`, `1e999`.
pub(crate) fn resolve(text: &str) -> Option<Kind> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Kind::Null),
        "true" | "True" | "TRUE" => Some(Kind::Bool(true)),
        "false" | "False" | "FALSE" => Some(Kind::Bool(false)),
        _ if is_special_float(text) => None,
        _ => match number_text(text) {
            // Through the JSON reader, so that a flow means the same in both formats.
            Some(number) => serde_json::from_str::<Number>(&number).ok().map(Kind::Number),
            None => Some(Kind::Text(text.to_owned())),
        },
    }
}

fn is_special_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// The number as JSON writes it; `None` where the text is no number.
fn number_text(text: &str) -> Option<String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fraction_digits = fraction.unwrap_or_default();
    if !digits(whole) || !digits(fraction_digits) || (whole.is_empty() && fraction_digits.is_empty()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let mut number = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if fraction.is_some() {
        number.push('.');
        number.push_str(if fraction_digits.is_empty() { "0" } else { fraction_digits });
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if unsigned.is_empty() || !digits(unsigned) {
            return None;
        }
        number.push('e');
        number.push_str(exponent);
    }
    Some(number)
}

fn radix(digits: &str, radix: u32) -> Option<String> {
    let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    // Past 64 bits there is no JSON integer to write it as: it stays a text.
    plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let kind = resolve(text).unwrap();
        assert_eq!(super::super::node::Node { at: Default::default(), kind }.to_value(), expected, "{text}");
    }

    #[test]
    fn follows_the_core_schema() {
        check("", json!(null));
        check("~", json!(null));
        check("True", json!(true));
        check("yes", json!("yes"));
        check("no", json!("no"));
        check("on", json!("on"));
        check("12", json!(12));
        check("+12", json!(12));
        check("-12", json!(-12));
        check("007", json!(7));
        check("0x1F", json!(31));
        check("0o17", json!(15));
        check("0b11", json!("0b11"));
        check("1_000", json!("1_000"));
        check("1.50", json!(1.5));
        check(".5", json!(0.5));
        check("5.", json!(5.0));
        check("1e3", json!(1000.0));
        check("1e", json!("1e"));
        check("e3", json!("e3"));
        check(".", json!("."));
        check("-", json!("-"));
        check("--1", json!("--1"));
        check("1.2.3", json!("1.2.3"));
        check("2026-01-02", json!("2026-01-02"));
        check("12:30", json!("12:30"));
        check("18446744073709551615", json!(u64::MAX));
        check("0x", json!("0x"));
    }

    #[test]
    fn numbers_without_json_form_are_refused() {
        for text in [".inf", "-.INF", ".nan", "1e999"] {
            assert_eq!(resolve(text), None, "{text}");
        }
    }
}
