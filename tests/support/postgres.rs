//! A real PostgreSQL server for one test.

mod cluster;
mod keeper;

use std::{fs, time::Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_postgres::{Client, NoTls};

use self::{cluster::Cluster, keeper::Keeper};
use crate::{DEADLINE, eventually};

/// The only database there is.
const DATABASE: &str = "postgres";

/// How often another port is tried where somebody was faster in taking a free one.
const PORTS_TRIED: usize = 5;

/// A server on loopback with a cluster of its own. It ends with this value, and also where the test's process is
/// killed.
///
/// Each user's password is its name: `postgres` is the superuser; `flows` may log in, has no rights of its own and
/// inherits none, and may become `flows_ro`, which has no rights either before a test grants some.
pub struct Postgres {
    keeper: Keeper,
    port: u16,
    authority: String,
}

impl Postgres {
    /// Starts a server that takes connections with and without TLS.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed, with the words what to install.
    pub fn start() -> Self {
        let cluster = Cluster::copied();
        let authority = secure(&cluster);
        let mut keeper = Keeper::of(&cluster);
        let port = (0..PORTS_TRIED).map(|_| free_port()).find(|port| keeper.start(*port));
        let port = port.expect("a free port stays free for a moment");
        Self { keeper, port, authority }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `postgres://USER:USER@127.0.0.1:PORT/postgres`
    pub fn url(&self, user: &str) -> String {
        format!("postgres://{user}:{user}@{}/{DATABASE}", self.address())
    }

    /// The certificate of the authority that signed the server's, for `127.0.0.1` and `localhost`, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A connection without TLS that nothing of the product takes part in.
    pub async fn connect(&self, user: &str) -> Client {
        let url = format!("{}?sslmode=disable", self.url(user));
        let (client, connection) =
            tokio_postgres::connect(&url, NoTls).await.expect("the server takes connections");
        tokio::spawn(connection);
        client
    }

    /// Runs statements as the superuser.
    pub async fn run(&self, statements: &str) {
        self.connect("postgres").await.batch_execute(statements).await.expect("the statements are right");
    }

    /// One number that the superuser asks for.
    pub async fn count(&self, query: &str) -> i64 {
        self.connect("postgres").await.query_one(query, &[]).await.expect("the query is right").get(0)
    }

    /// How many sessions a user has.
    pub async fn sessions(&self, user: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'")).await
    }

    /// Waits until no session of a user executes a statement or holds a transaction open.
    pub async fn until_idle(&self, user: &str) {
        let busy = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}' AND state IS DISTINCT FROM 'idle'"
        );
        eventually(&format!("the sessions of `{user}` are idle"), || async {
            (self.count(&busy).await == 0).then_some(())
        })
        .await;
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        self.keeper.stop();
    }

    /// Starts a killed server again, on the same port and data.
    pub fn restart(&mut self) {
        assert!(self.keeper.start(self.port), "the port is still free");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Gives the server a certificate; gives the authority's.
fn secure(cluster: &Cluster) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("randomness"))
        .expect("an authority may sign itself");
    let key = KeyPair::generate().expect("randomness");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names)
        .and_then(|params| params.signed_by(&key, &authority))
        .expect("the names are names");
    cluster.write("server.crt", &certificate.pem());
    cluster.write("server.key", &key.serialize_pem());
    authority.pem()
}

/// Asks again until there is an answer or [`DEADLINE`] is over.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    None
}

fn read(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
