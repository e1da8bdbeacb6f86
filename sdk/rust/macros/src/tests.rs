//! What somebody is told who holds an attribute wrong.

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand;

#[track_caller]
fn check(args: TokenStream, item: TokenStream, message: &str) {
    let error = expand::step(args, syn::parse2(item).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

fn good() -> TokenStream {
    quote! {
        /// Does it.
        fn step(config: Config) -> Result<Value, Failure> { Ok(json!(1)) }
    }
}

#[test]
fn a_good_step_is_taken() {
    expand::step(quote!(label = "L"), syn::parse2(good()).unwrap()).unwrap();
}

#[test]
fn a_step_without_a_description_is_refused() {
    check(
        quote!(),
        quote!(
            fn step(config: Config) -> Result<Value, Failure> {}
        ),
        "a doc comment is missing: it is the step's description",
    );
}

#[test]
fn an_unknown_argument_or_category_is_refused() {
    check(quote!(lable = "L"), good(), "no argument of this name");
    check(
        quote!(category = "misc"),
        good(),
        "a category is one of integrations, ai, logic, data, flow, custom",
    );
}

#[test]
fn tokens_are_a_path_into_the_output() {
    let message = "a JSONPath into the output begins with `$`, such as `$.usage.total_tokens`";
    check(quote!(tokens = "usage.total"), good(), message);
}

#[test]
fn ports_belong_to_control_steps() {
    check(quote!(ports = ["a"]), good(), "only `#[stepcell::control]` takes this");
    expand::control(quote!(ports = ["a"]), syn::parse2(good()).unwrap()).unwrap();
}

#[test]
fn a_name_that_is_no_step_type_is_refused() {
    let message = "`My Step` is no step type: at most 64 of a-z, 0-9 and _, a letter first";
    check(quote!(type = "My Step"), good(), message);
}

#[test]
fn a_function_that_is_no_step_is_refused() {
    let refused = |item, message| check(quote!(), item, message);
    refused(
        quote! {
            /// Does it.
            async fn step() -> Result<Value, Failure> {}
        },
        "a step is no async function: a cell runs one thing at a time",
    );
    refused(
        quote! {
            /// Does it.
            fn step(config: Config) {}
        },
        "a step returns a `Result<T, Failure>`",
    );
    refused(
        quote! {
            /// Does it.
            fn step<T>(config: T) -> Result<Value, Failure> {}
        },
        "a step has no type parameters",
    );
    refused(
        quote! {
            /// Does it.
            fn step(config: A, context: B, more: C) -> Result<Value, Failure> {}
        },
        "a step takes its config, and a part of the context where it needs one",
    );
}
