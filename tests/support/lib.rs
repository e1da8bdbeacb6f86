//! What a user has at hand, for the stories in `tests/it`: the real binary, a folder of plugins, a shell's
//! view of output and exit code, and HTTP. Nothing of the product is replaced.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it is all test code: what does not hold fails the test"
)]

mod cli;
mod dns;
mod effects;
mod host;
pub mod llm;
mod peer;
mod postgres;
mod shop;
mod smtp;
mod tls;

pub use cli::{Call, Output, stepcell};
pub use dns::Dns;
pub use effects::{Effect, Effects};
pub use host::{Host, HostBuilder};
pub use llm::Llm;
pub use peer::Peer;
pub use postgres::Postgres;
pub use shop::Shop;
pub use smtp::{Mail, Misbehave, Smtp, SmtpTls};
pub use tls::{Authority, Https};

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a test waits for something that must happen. Long enough for a loaded machine; a test that is
/// right never comes near it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

/// The folder that holds the built binary, the plugins and the guests.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    // target/debug/deps/it-… → target
    test.ancestors().nth(3).expect("tests are built into target/PROFILE/deps").to_owned()
}

/// A built-in plugin's file.
pub fn plugin(name: &str) -> PathBuf {
    built("plugins", name)
}

/// The file of a program in `tests/guests`.
pub fn guest(name: &str) -> PathBuf {
    built("guests", name)
}

fn built(folder: &str, name: &str) -> PathBuf {
    let file = target().join(folder).join(format!("{name}.wasm"));
    assert!(file.is_file(), "{} is not there: `cargo xtask test` builds it", file.display());
    file
}

/// Compiled plugins, shared by all tests: compiling Python's runner takes seconds.
pub fn cache() -> PathBuf {
    target().join("test-cache")
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// Where none came within [`DEADLINE`].
#[track_caller]
pub fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let (what, started) = (what.to_owned(), Instant::now());
    async move {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
