//! What `#[stepcell::step]` and `#[stepcell::control]` add to a function.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, FnArg, ItemFn, Result, ReturnType, Type, parse_quote};

use crate::{args::Args, entry};

pub(crate) fn step(args: TokenStream, item: ItemFn) -> Result<TokenStream> {
    let args = Args::parse(args, false)?;
    let meta = entry::meta(&args, &item)?;
    let function = Function::of(&item)?;
    let (name, call, marker) = (&item.sig.ident, &function.call, marker(&item));
    let describe = function.describe(&meta, &quote!(::stepcell::__private::StepResult));
    let arguments = function.arguments();
    Ok(quote! {
        #item
        #marker

        const _: () = {
            impl ::stepcell::__private::Step for #name {
                #describe

                fn execute(
                    __config: &str,
                    __context: &str,
                ) -> ::core::result::Result<::std::string::String, ::stepcell::Failure> {
                    #arguments
                    ::stepcell::__private::output(&::stepcell::__private::StepResult::into_result(#name(#call))?)
                }
            }

            // A native build exports nothing: without a use, the function would be reported as dead code.
            const _: fn() -> ::stepcell::serde_json::Value = <#name as ::stepcell::__private::Step>::describe;

            #[cfg(target_family = "wasm")]
            type __Exported = ::stepcell::__private::HandlerOf<#name>;
            #[cfg(target_family = "wasm")]
            ::stepcell::__private::step::export_step!(__Exported with_types_in ::stepcell::__private::step);
        };
    })
}

pub(crate) fn control(args: TokenStream, item: ItemFn) -> Result<TokenStream> {
    let args = Args::parse(args, true)?;
    let meta = entry::meta(&args, &item)?;
    let function = Function::of(&item)?;
    let (name, call, marker) = (&item.sig.ident, &function.call, marker(&item));
    let describe = function.describe(&meta, &quote!(::stepcell::__private::ControlResult));
    let arguments = function.arguments();
    let resume = resume(&args, &item, &function)?;
    let decided =
        quote!(::core::result::Result<::stepcell::Outcome<::std::string::String>, ::stepcell::Failure>);
    Ok(quote! {
        #item
        #marker

        const _: () = {
            impl ::stepcell::__private::Control for #name {
                #describe

                fn execute(__config: &str, __context: &str) -> #decided {
                    #arguments
                    ::stepcell::__private::decision(#name(#call))
                }

                fn resume(__config: &str, __context: &str, __signal: &str) -> #decided {
                    #resume
                }
            }

            // A native build exports nothing: without a use, the functions would be reported as dead code.
            const _: fn() -> ::stepcell::serde_json::Value = <#name as ::stepcell::__private::Control>::describe;

            #[cfg(target_family = "wasm")]
            type __Exported = ::stepcell::__private::ControlOf<#name>;
            #[cfg(target_family = "wasm")]
            ::stepcell::__private::control::export_control!(
                __Exported with_types_in ::stepcell::__private::control
            );
        };
    })
}

/// A type with the function's own name, which the traits are implemented for: tests and exports name it.
fn marker(item: &ItemFn) -> TokenStream {
    let (name, visibility) = (&item.sig.ident, &item.vis);
    quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it bears the function's name")]
        #visibility enum #name {}
    }
}

fn resume(args: &Args, item: &ItemFn, function: &Function<'_>) -> Result<TokenStream> {
    let Some(resume) = &args.resume else {
        let kind = entry::kind(args, item)?;
        return Ok(quote!(::core::result::Result::Err(::stepcell::__private::never_waits(#kind))));
    };
    let (call, arguments) = (&function.call, function.arguments());
    Ok(quote! {
        #arguments
        ::stepcell::__private::decision(#resume(#call ::stepcell::__private::signal(__signal)?))
    })
}

/// The types in a step's signature, and how to call it.
struct Function<'a> {
    /// A type without any keys where the function takes no argument.
    config: Type,
    /// `()` where the function takes the config only.
    context: Type,
    output: &'a Type,
    /// With a comma after each argument.
    call: TokenStream,
}

impl<'a> Function<'a> {
    fn of(item: &'a ItemFn) -> Result<Self> {
        let signature = &item.sig;
        if let Some(keyword) = &signature.asyncness {
            return Err(Error::new(
                keyword.span,
                "a step is no async function: a cell runs one thing at a time",
            ));
        }
        if !signature.generics.params.is_empty() {
            return Err(Error::new_spanned(&signature.generics, "a step has no type parameters"));
        }
        let ReturnType::Type(_, output) = &signature.output else {
            return Err(Error::new_spanned(signature, "a step returns a `Result<T, Failure>`"));
        };
        let types = signature.inputs.iter().map(argument).collect::<Result<Vec<_>>>()?;
        let (config, context, call) = match types.as_slice() {
            [] => (parse_quote!(::stepcell::__private::NoConfig), parse_quote!(()), quote!()),
            [config] => ((*config).clone(), parse_quote!(()), quote!(__config,)),
            [config, context] => ((*config).clone(), (*context).clone(), quote!(__config, __context,)),
            _ => {
                let message = "a step takes its config, and a part of the context where it needs one";
                return Err(Error::new_spanned(&signature.inputs, message));
            }
        };
        Ok(Self { config, context, output, call })
    }

    /// The typed arguments in place of their JSON texts. Every path and name is one that no step uses.
    fn arguments(&self) -> TokenStream {
        let Self { config, context, .. } = self;
        quote! {
            let __config = ::stepcell::__private::config::<#config>(__config)?;
            let __context = <#context as ::stepcell::FromContext>::from_context(__context)?;
        }
    }

    fn describe(&self, meta: &TokenStream, result: &TokenStream) -> TokenStream {
        let Self { config, context, output, .. } = self;
        quote! {
            fn describe() -> ::stepcell::serde_json::Value {
                #meta.describe::<#config, #context, <#output as #result>::Output>()
            }
        }
    }
}

fn argument(argument: &FnArg) -> Result<&Type> {
    match argument {
        FnArg::Typed(typed) => Ok(&typed.ty),
        FnArg::Receiver(receiver) => Err(Error::new_spanned(receiver, "a step is a free function")),
    }
}
