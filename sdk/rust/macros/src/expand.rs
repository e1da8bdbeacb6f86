//! What `#[stepcell::step]` and `#[stepcell::control]` add to a function.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, FnArg, ItemFn, Result, ReturnType, Type};

use crate::{args::Args, entry};

pub(crate) fn step(args: TokenStream, item: ItemFn) -> Result<TokenStream> {
    let args = Args::parse(args, false)?;
    let meta = entry::meta(&args, &item)?;
    let Function { config, context, output, call } = Function::of(&item)?;
    let (name, visibility) = (&item.sig.ident, &item.vis);
    Ok(quote! {
        #item

        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it bears the function's name")]
        #visibility enum #name {}

        const _: () = {
            use ::stepcell::__private as private;

            type Output = <#output as private::StepResult>::Output;

            impl private::Step for #name {
                fn describe() -> ::stepcell::serde_json::Value {
                    #meta.describe::<#config, #context, Output>()
                }

                fn execute(config: &str, context: &str) -> Result<String, ::stepcell::Failure> {
                    let config = private::config::<#config>(config)?;
                    let context = <#context as ::stepcell::FromContext>::from_context(context)?;
                    private::output(&private::StepResult::into_result(#name(#call))?)
                }
            }

            // Else a native build, which exports nothing, would call the function unused.
            const _: fn(&str, &str) -> Result<String, ::stepcell::Failure> = <#name as private::Step>::execute;

            #[cfg(target_family = "wasm")]
            type Exported = private::HandlerOf<#name>;
            #[cfg(target_family = "wasm")]
            private::step::export_step!(Exported with_types_in ::stepcell::__private::step);
        };
    })
}

pub(crate) fn control(args: TokenStream, item: ItemFn) -> Result<TokenStream> {
    let args = Args::parse(args, true)?;
    let meta = entry::meta(&args, &item)?;
    let kind = entry::kind(&args, &item)?;
    let Function { config, context, output, call } = Function::of(&item)?;
    let (name, visibility) = (&item.sig.ident, &item.vis);
    let parts = quote! {
        let config = private::config::<#config>(config)?;
        let context = <#context as ::stepcell::FromContext>::from_context(context)?;
    };
    let resume = match &args.resume {
        Some(function) => quote! {
            #parts
            private::decision(#function(#call, private::signal(signal)?))
        },
        None => quote!(Err(private::never_waits(#kind))),
    };
    Ok(quote! {
        #item

        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it bears the function's name")]
        #visibility enum #name {}

        const _: () = {
            use ::stepcell::__private as private;

            type Output = <#output as private::ControlResult>::Output;
            type Decided = Result<::stepcell::Outcome<String>, ::stepcell::Failure>;

            impl private::Control for #name {
                fn describe() -> ::stepcell::serde_json::Value {
                    #meta.describe::<#config, #context, Output>()
                }

                fn execute(config: &str, context: &str) -> Decided {
                    #parts
                    private::decision(#name(#call))
                }

                fn resume(config: &str, context: &str, signal: &str) -> Decided {
                    let _ = (config, context, signal);
                    #resume
                }
            }

            // Else a native build, which exports nothing, would call the functions unused.
            const _: fn(&str, &str, &str) -> Decided = <#name as private::Control>::resume;

            #[cfg(target_family = "wasm")]
            type Exported = private::ControlOf<#name>;
            #[cfg(target_family = "wasm")]
            private::control::export_control!(Exported with_types_in ::stepcell::__private::control);
        };
    })
}

/// The types in a step's signature, and how to call it.
struct Function<'a> {
    config: &'a Type,
    /// `()` where the function takes the config only.
    context: Type,
    output: &'a Type,
    call: TokenStream,
}

impl<'a> Function<'a> {
    fn of(item: &'a ItemFn) -> Result<Self> {
        let signature = &item.sig;
        if let Some(keyword) = &signature.asyncness {
            return Err(Error::new(keyword.span, "a step is no async function: a cell runs one thing at a time"));
        }
        if !signature.generics.params.is_empty() {
            return Err(Error::new_spanned(&signature.generics, "a step has no type parameters"));
        }
        let ReturnType::Type(_, output) = &signature.output else {
            return Err(Error::new_spanned(signature, "a step returns a `Result<T, Failure>`"));
        };
        let types = signature.inputs.iter().map(argument).collect::<Result<Vec<_>>>()?;
        let (config, context, call) = match types.as_slice() {
            [config] => (*config, syn::parse_quote!(()), quote!(config)),
            [config, context] => (*config, (*context).clone(), quote!(config, context)),
            _ => {
                let message = "a step takes its config, and a part of the context where it needs one";
                return Err(Error::new_spanned(&signature.inputs, message));
            }
        };
        Ok(Self { config, context, output, call })
    }
}

fn argument(argument: &FnArg) -> Result<&Type> {
    match argument {
        FnArg::Typed(typed) => Ok(&typed.ty),
        FnArg::Receiver(receiver) => Err(Error::new_spanned(receiver, "a step is a free function")),
    }
}
