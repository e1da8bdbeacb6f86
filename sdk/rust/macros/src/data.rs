//! `#[stepcell::data]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Result, parse::Parser};

pub(crate) fn expand(args: TokenStream, item: &DeriveInput) -> Result<TokenStream> {
    let open = is_open(args)?;
    let closed = (has_named_fields(item) && !open).then(|| quote!(#[serde(deny_unknown_fields)]));
    Ok(quote! {
        #[derive(::stepcell::serde::Serialize, ::stepcell::serde::Deserialize, ::stepcell::schemars::JsonSchema)]
        #[serde(crate = "::stepcell::serde")]
        #[schemars(crate = "::stepcell::schemars")]
        #closed
        #item
    })
}

fn is_open(args: TokenStream) -> Result<bool> {
    let mut open = false;
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("open") {
            open = true;
            return Ok(());
        }
        Err(meta.error("only `open` is known here"))
    });
    parser.parse2(args)?;
    Ok(open)
}

fn has_named_fields(item: &DeriveInput) -> bool {
    matches!(&item.data, Data::Struct(data) if matches!(data.fields, Fields::Named(_)))
}
