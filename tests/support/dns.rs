//! A name server of the tests, which may say something else each time it is asked.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::Time,
    proto::{
        op::{Metadata, ResponseCode},
        rr::{Name, RData, Record, RecordType},
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

/// How long the server keeps a TCP connection that asks nothing.
const IDLE: Duration = Duration::from_secs(5);
/// Answers of one TCP connection that are under way.
const TCP_ANSWERS: usize = 32;

/// A DNS server on loopback, over UDP and TCP.
pub struct Dns {
    pub address: SocketAddr,
    names: Arc<Mutex<Names>>,
    _server: Server<Handler>,
}

#[derive(Default)]
struct Names {
    /// Each answer holds until the next look-up; the last one stays.
    answers: BTreeMap<String, VecDeque<Vec<IpAddr>>>,
    asked: Vec<String>,
}

impl Dns {
    /// Starts a server that knows no name.
    pub async fn start() -> Self {
        let names = Arc::<Mutex<Names>>::default();
        let mut server = Server::new(Handler(names.clone()));
        // The port has to be free for both.
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            if let Ok(socket) = UdpSocket::bind(address).await {
                break (listener, socket);
            }
        };
        let address = listener.local_addr().expect("it is bound");
        server.register_socket(socket);
        server.register_listener(listener, IDLE, TCP_ANSWERS);
        Self { address, names, _server: server }
    }

    /// Answers in turn; the last one stays. IPv4 and IPv6 addresses may be mixed.
    pub fn set(&self, name: &str, answers: &[&[&str]]) {
        let parse =
            |answer: &&[&str]| answer.iter().map(|address| address.parse().expect("an address")).collect();
        self.lock().answers.insert(name.to_owned(), answers.iter().map(parse).collect());
    }

    /// Names that were looked up, each look-up once.
    pub fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().expect("no test panics with it")
    }
}

struct Handler(Arc<Mutex<Names>>);

impl Handler {
    /// A look-up asks for both kinds of addresses; the answer moves on with the first, IPv4.
    fn records(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let text = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let mut names = self.0.lock().expect("no test panics with it");
        let answers = names.answers.get_mut(&text)?;
        let now = match kind {
            RecordType::A if answers.len() > 1 => answers.pop_front(),
            _ => answers.front().cloned(),
        };
        if kind == RecordType::A {
            names.asked.push(text);
        }
        let data = now.unwrap_or_default().into_iter().filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), RecordType::A) => Some(RData::A(address.into())),
            (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(address.into())),
            _ => None,
        });
        Some(data.map(|data| Record::from_rdata(name.clone(), 0, data)).collect())
    }
}

impl RequestHandler for Handler {
    #[expect(clippy::multiple_bound_locations, reason = "the trait's bounds are split like this")]
    fn handle_request<'handler, 'request, 'answer, R: ResponseHandler, T: Time>(
        &'handler self,
        request: &'request Request,
        mut response: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'answer>>
    where
        'handler: 'answer,
        'request: 'answer,
        Self: 'answer,
        R: 'answer,
        T: 'answer,
    {
        Box::pin(async move {
            let info = request.request_info().expect("one question");
            let (name, kind) = (Name::from(info.query.name().clone()), info.query.query_type());
            let mut metadata = Metadata::response_from_request(info.metadata);
            let records = self.records(&name, kind);
            if records.is_none() {
                metadata.response_code = ResponseCode::NXDomain;
            }
            let records = records.unwrap_or_default();
            let answer =
                MessageResponseBuilder::from_message_request(request).build(metadata, &records, [], [], []);
            response.send_response(answer).await.expect("it can be sent")
        })
    }
}
