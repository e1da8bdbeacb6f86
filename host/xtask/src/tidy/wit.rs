//! Every item and every case of the WIT is documented: it is what plugin authors read.

use std::{fs, path::Path};

use anyhow::Result;
use wit_parser::{Docs, Resolve, TypeDefKind, WorldItem};

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("wit"))? {
        let folder = entry?.path();
        if folder.is_dir() {
            let mut resolve = Resolve::default();
            resolve.push_dir(&folder)?;
            check_package(&resolve, &mut found);
        }
    }
    Ok(found)
}

fn check_package(resolve: &Resolve, found: &mut Vec<String>) {
    for (_, interface) in &resolve.interfaces {
        let name = interface.name.clone().unwrap_or_default();
        need(&interface.docs, &format!("interface `{name}`"), found);
        for (function_name, function) in &interface.functions {
            need(&function.docs, &format!("function `{name}.{function_name}`"), found);
        }
        for (type_name, id) in &interface.types {
            let Some(definition) = resolve.types.get(*id) else { continue };
            // A `use` is documented where the type is.
            let used = matches!(definition.kind, TypeDefKind::Type(wit_parser::Type::Id(_)));
            if !used {
                need(&definition.docs, &format!("type `{name}.{type_name}`"), found);
            }
            check_cases(&definition.kind, &format!("{name}.{type_name}"), found);
        }
    }
    for (_, world) in &resolve.worlds {
        need(&world.docs, &format!("world `{}`", world.name), found);
        for (key, item) in world.imports.iter().chain(&world.exports) {
            if let WorldItem::Function(function) = item {
                need(&function.docs, &format!("world `{}`, {key:?}", world.name), found);
            }
        }
    }
}

fn check_cases(kind: &TypeDefKind, name: &str, found: &mut Vec<String>) {
    let cases: Vec<(&str, &Docs)> = match kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().map(|field| (&*field.name, &field.docs)).collect()
        }
        TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| (&*case.name, &case.docs)).collect(),
        TypeDefKind::Enum(enumeration) => {
            enumeration.cases.iter().map(|case| (&*case.name, &case.docs)).collect()
        }
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| (&*flag.name, &flag.docs)).collect(),
        _ => Vec::new(),
    };
    for (case, docs) in cases {
        need(docs, &format!("`{name}.{case}`"), found);
    }
}

fn need(docs: &Docs, what: &str, found: &mut Vec<String>) {
    if docs.contents.as_deref().unwrap_or_default().trim().is_empty() {
        found.push(format!("wit: {what} has no documentation"));
    }
}
