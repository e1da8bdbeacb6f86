//! The catalog entry, as the attribute and the doc comment give it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error, Expr, ExprLit, ItemFn, Lit, Meta, Result, ext::IdentExt};

use crate::args::{Args, check_kind};

/// An expression of type `stepcell::__private::Meta`.
pub(crate) fn meta(args: &Args, item: &ItemFn) -> Result<TokenStream> {
    let kind = kind(args, item)?;
    let label = args.label.as_ref().map_or_else(|| title(&kind), |label| label.value());
    let icon = args.icon.as_ref().map_or_else(|| "box".to_owned(), |icon| icon.value());
    let category = args.category.as_ref().map_or_else(|| "custom".to_owned(), |category| category.value());
    let description = description(&item.attrs);
    if description.is_empty() {
        return Err(Error::new(
            item.sig.ident.span(),
            "a doc comment is missing: it is the step's description",
        ));
    }
    let Args { context_fields, deferred, ports, .. } = args;
    let max_output_bytes = option(args.max_output_bytes.as_ref().map(|bytes| quote!(#bytes)));
    let literal = args.literal.iter().map(|(key, instead)| quote!((#key, #instead)));
    let matches = args.matches.iter().map(|(key, json)| quote!((#key, #json)));
    let tokens = option(args.tokens.as_ref().map(|tokens| quote!(#tokens)));
    let examples = option(
        args.examples
            .as_ref()
            .map(|path| quote!(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", #path)))),
    );
    Ok(quote! {
        ::stepcell::__private::Meta {
            kind: #kind,
            label: #label,
            icon: #icon,
            category: #category,
            description: #description,
            context_fields: &[#(#context_fields),*],
            max_output_bytes: #max_output_bytes,
            literal: &[#(#literal),*],
            deferred: &[#(#deferred),*],
            ports: &[#(#ports),*],
            matches: &[#(#matches),*],
            tokens: #tokens,
            examples: #examples,
        }
    })
}

/// The step type: as given, or the function's name.
pub(crate) fn kind(args: &Args, item: &ItemFn) -> Result<String> {
    match &args.kind {
        Some(kind) => Ok(kind.value()),
        None => {
            let name = item.sig.ident.unraw().to_string();
            check_kind(&name, item.sig.ident.span())?;
            Ok(name)
        }
    }
}

fn option(value: Option<TokenStream>) -> TokenStream {
    value.map_or_else(|| quote!(None), |value| quote!(Some(#value)))
}

/// `send_invoice` is shown as `Send Invoice`.
fn title(kind: &str) -> String {
    let words = kind.split('_').filter(|word| !word.is_empty()).map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The doc comment, its lines joined within a paragraph.
fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(doc_line).collect::<Vec<_>>().join("\n");
    let paragraphs = lines.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    if !pair.path.is_ident("doc") {
        return None;
    }
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
        _ => None,
    }
}
