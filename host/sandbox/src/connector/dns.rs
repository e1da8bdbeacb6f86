//! Names asked of the operator's own name servers, and of nobody else.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hickory_resolver::{
    TokioResolver,
    config::{
        ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    },
    net::runtime::TokioRuntimeProvider,
};

use super::Resolve;

/// How long one name server has for one answer. Leaves time for the second try, and for the other servers, within
/// the time for connecting.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Tries after the first; a lost packet is nothing unusual.
const RETRIES: usize = 1;

/// `network.dns` of the config.
///
/// Answers are not kept: an idle connection saves the look-up as well, and an answer that is out of date would
/// only be refused or fail.
pub struct NameServers {
    resolver: TokioResolver,
}

impl NameServers {
    /// Each is asked over UDP, and over TCP where an answer does not fit. The system's own name servers, search
    /// domains and hosts file are not read.
    pub fn new(addresses: &[SocketAddr]) -> io::Result<Self> {
        let config =
            ResolverConfig::from_parts(None, Vec::new(), addresses.iter().copied().map(server).collect());
        let mut options = ResolverOpts::default();
        options.timeout = ANSWER_TIMEOUT;
        options.attempts = RETRIES;
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { resolver })
    }
}

impl Resolve for NameServers {
    fn resolve(&self, mut name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let resolver = self.resolver.clone();
        // As it stands, whatever a search domain would make of it.
        name.push('.');
        Box::pin(async move {
            match resolver.lookup_ip(name).await {
                Ok(found) => Ok(found.iter().collect()),
                Err(error) if error.is_nx_domain() => Err(io::Error::other("no such name")),
                // The name is there, and has no address.
                Err(error) if error.is_no_records_found() => Ok(Vec::new()),
                Err(error) => Err(io::Error::other(error)),
            }
        })
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}
