//! The attributes of the crate `stepcell`. Use them from there.

mod args;
mod data;
mod entry;
mod expand;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

/// Makes a step of a function `fn(Config) -> Result<Output, Failure>`.
///
/// A function without arguments is a step without a config. A second argument gives it a part of the context: `Context`, `Input<T>` or
/// `StepInfo`. The doc comment is the description in the catalog.
///
/// | argument | meaning |
/// | --- | --- |
/// | `label`, `icon`, `category` | how the catalog shows it; `icon` is a Lucide name, `category` one of integrations, ai, logic, data, flow, custom |
/// | `type` | the step type; the function's name where absent |
/// | `context_fields`, `max_output_bytes` | what cells see of an output that is larger |
/// | `literal(code = "input")` | config keys that are no templates, and the key to use instead |
/// | `deferred` | config keys that the engine resolves later, for each item |
/// | `match(language = "python")` | config values for which this component serves the type |
/// | `tokens = "$.usage.total_tokens"` | where the output says how many tokens of a language model were used: counted against the run's budget |
/// | `examples` | a JSON file, beside `Cargo.toml` or below, with an array of `{"config", "input"?, "output"}` |
#[proc_macro_attribute]
pub fn step(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemFn);
    expand::step(args.into(), item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a control step of a function `fn(Config) -> Result<Outcome<Output>, Failure>`.
///
/// Besides the arguments of `step` it takes `ports = ["true", "false"]` and
/// `resume = function`: what runs after a wait. That function has the arguments
/// of the first and a `Signal` after them.
#[proc_macro_attribute]
pub fn control(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemFn);
    expand::control(args.into(), item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a type usable as a config, an input or an output: `Serialize`,
/// `Deserialize` and `JsonSchema`, from the crate `stepcell` itself. A struct refuses unknown
/// keys, unless it says `#[stepcell::data(open)]`. The attributes `#[serde(…)]`
/// and `#[schemars(…)]` work as usual.
#[proc_macro_attribute]
pub fn data(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    data::expand(args.into(), &item).unwrap_or_else(syn::Error::into_compile_error).into()
}
