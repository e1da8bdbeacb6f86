//! Guests written as WebAssembly text, so that these tests need no toolchain for guests.

use std::path::Path;

use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where a guest's allocations start.
const HEAP: usize = 64 << 10;
/// Where its catalog entry lies.
const DESCRIBE: usize = 1 << 10;

/// A handler in the making.
pub(super) struct Guest {
    /// The body of `execute`, with the parameters `$config $config_len $context $context_len`; gives the
    /// address of the result.
    execute: String,
    imports: String,
    /// Further imports of its world, as WIT.
    world: String,
    describe: Value,
    pages: usize,
}

impl Guest {
    pub(super) fn new(kind: &str, execute: &str) -> Self {
        Self {
            execute: execute.to_owned(),
            imports: String::new(),
            world: String::new(),
            describe: json!({
                "type": kind, "label": kind, "icon": "box", "category": "custom", "description": "a test",
                "config_schema": {"type": "object"},
            }),
            pages: 4,
        }
    }

    /// Returns its config.
    pub(super) fn echo(kind: &str) -> Self {
        Self::new(kind, "(call $ok (local.get $config) (local.get $config_len))")
    }

    /// Returns this JSON, whatever it is given.
    pub(super) fn says(kind: &str, text: &str) -> Self {
        let stores: String = text
            .bytes()
            .enumerate()
            .map(|(at, byte)| format!("(i32.store8 (i32.const {}) (i32.const {byte}))\n", 512 + at))
            .collect();
        Self::new(kind, &format!("{stores} (call $ok (i32.const 512) (i32.const {}))", text.len()))
    }

    pub(super) fn loops(kind: &str) -> Self {
        Self::new(kind, "(loop (br 0)) unreachable")
    }

    /// Core imports, as text, and what they mean for its world, as WIT.
    pub(super) fn importing(mut self, imports: &str, world: &str) -> Self {
        imports.clone_into(&mut self.imports);
        world.clone_into(&mut self.world);
        self
    }

    /// Changes one key of the catalog entry.
    pub(super) fn describing(mut self, key: &str, value: Value) -> Self {
        self.describe[key] = value;
        self
    }

    pub(super) fn with_pages(mut self, pages: usize) -> Self {
        self.pages = pages;
        self
    }

    /// A core module that says which world it is for.
    pub(super) fn module(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut resolve = Resolve::default();
        for package in ["step", "http", "database", "secrets", "email", "blobs"] {
            resolve.push_dir(wit.join(package)).unwrap();
        }
        let world = format!(
            "package test:guest; world guest {{ {} export stepcell:step/handler@0.1.0; }}",
            self.world
        );
        let package = resolve.push_str("guest.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        module
    }

    /// The same as a component. For guests without WASI.
    pub(super) fn component(&self) -> Vec<u8> {
        ComponentEncoder::default().module(&self.module()).unwrap().encode().unwrap()
    }

    fn text(&self) -> String {
        let describe = self.describe.to_string();
        let Self { imports, pages, execute, .. } = self;
        let len = describe.len();
        let data = describe.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            r#"(module
  {imports}
  (memory (export "memory") {pages})
  (table $table 4 funcref)
  (global $top (mut i32) (i32.const {HEAP}))
  (data (i32.const {DESCRIBE}) "{data}")
  (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func $ok (param i32 i32) (result i32)
    (i32.store (i32.const 32) (i32.const 0))
    (i32.store (i32.const 36) (local.get 0))
    (i32.store (i32.const 40) (local.get 1))
    (i32.const 32))
  (func $recurse (param i64 i64) (result i64)
    (i64.add (call $recurse (local.get 1) (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
  (func (export "stepcell:step/handler@0.1.0#describe") (result i32)
    (i32.store (i32.const 16) (i32.const {DESCRIBE}))
    (i32.store (i32.const 20) (i32.const {len}))
    (i32.const 16))
  (func (export "stepcell:step/handler@0.1.0#execute")
    (param $config i32) (param $config_len i32) (param $context i32) (param $context_len i32) (result i32)
    (local $at i32)
    {execute}))"#
        )
    }
}
