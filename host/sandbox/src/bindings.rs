//! The Rust side of `wit/`: the only `bindgen!` of the project.
//!
//! One world stands for all that a component may import or export. A component needs to export only one of
//! the two interfaces, so the indices of each interface are used, not the world's own `…Pre`.

// The generated code is public because the host's own traits mention its types.
#[allow(unused_qualifications, unreachable_pub, reason = "generated code spells out every path")]
mod generated {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/step",
            "../../wit/http",
            "../../wit/database",
            "../../wit/secrets",
            "../../wit/email",
            "../../wit/blobs",
        ],
        inline: "
            package stepcell:host;

            world cell {
                import stepcell:step/types@0.1.0;
                import stepcell:http/http@0.1.0;
                import stepcell:database/database@0.1.0;
                import stepcell:secrets/secrets@0.1.0;
                import stepcell:email/email@0.1.0;
                import stepcell:blobs/blobs@0.1.0;
                export stepcell:step/handler@0.1.0;
                export stepcell:step/control@0.1.0;
            }
        ",
        world: "stepcell:host/cell",
        imports: { default: async },
        with: {
            "stepcell:database/database.transaction": crate::capability::database::OpenTransaction,
        },
        exports: { default: async },
    });
}

pub(crate) use generated::{exports, stepcell};
