//! What one client may use of the host.

use std::time::Duration;

use stepcell_core::{flow::MAX_FLOW_BYTES, parse::MAX_SUBMISSION_BYTES};
use stepcell_engine::{MAX_BLOB_BYTES, MAX_PAYLOAD_BYTES};

/// The largest body of `POST /runs`: the largest flow, and an input of the same size. Protects the host's memory:
/// a parsed text takes many times its size.
pub const RUN_BODY_BYTES_MAX: usize = 2 * MAX_FLOW_BYTES;

/// The largest body of `POST /runs` that has a submission on each line. Protects the host's memory: a parsed text takes
/// many times its size.
pub const LINES_BODY_BYTES_MAX: usize = MAX_SUBMISSION_BYTES;

/// Bodies with a submission on each line that are held in memory at once; more wait for their turn.
pub const LINES_BODIES_MAX: usize = 4;

/// Submissions of one body that are on their way to the disk at once, where they can not go together.
pub const LINES_AT_A_TIME: usize = 64;

/// The largest body of a resume or an event: the largest payload, and what stands beside it.
pub const SIGNAL_BODY_BYTES_MAX: usize = MAX_PAYLOAD_BYTES + SMALL_BODY_BYTES_MAX;

/// The longest name of an event. It is part of a key in the store.
pub const EVENT_NAME_BYTES_MAX: usize = 128;

/// The largest plugin that can be uploaded. The Python runner, the largest known component, has 19 MB.
/// Larger files can still be put into the folder by hand.
pub const PLUGIN_BODY_BYTES_MAX: usize = 64 << 20;

/// The largest body of the small calls, such as a cancel with its reason.
pub const SMALL_BODY_BYTES_MAX: usize = 16 << 10;

/// The longest reason of a cancel. It goes into the log of the run for good.
pub const REASON_BYTES_MAX: usize = 1_000;

/// Uploads of plugins that are held in memory at once; more wait for their turn.
pub const UPLOADS_MAX: usize = 2;

/// Bytes of blobs that are on their way in or out at once. Bounds the host's memory, since each is whole in it;
/// more wait for their turn.
pub const BLOB_BYTES_IN_TRANSFER_MAX: usize = 4 * MAX_BLOB_BYTES;

/// How long a blob waits for its turn before the client is told to come back.
pub const TRANSFER_WAIT: Duration = Duration::from_secs(20);

/// Bytes of a blob that are handed to a connection at a time.
pub const BLOB_CHUNK_BYTES: usize = 256 << 10;

/// How long a client may take to send a body. Frees what a stalled client holds.
pub const BODY_READ_TIME: Duration = Duration::from_secs(60);

/// How much of a refused body is read and dropped, so that a client that sends before it reads sees the refusal
/// and not a reset connection.
pub const DRAIN_BYTES_MAX: u64 = 256 << 20;

/// How long a refused body is read and dropped.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Bodies up to this size are parsed and checked where they are read; larger ones on a thread that may block, so
/// that a huge flow does not hold up other requests. Parsing this much takes well under a millisecond.
pub const INLINE_PARSE_BYTES: usize = 32 << 10;

/// The longest that `?wait=` holds a request; a longer wait is cut to this.
pub const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// Runs on one page of a listing, where the request does not say.
pub const RUNS_PAGE: usize = 50;

/// The most runs on one page of a listing.
pub const RUNS_PAGE_MAX: usize = 500;

/// Items of a fan-out in one answer, where the request does not say.
pub const ITEMS_PAGE: usize = 100;

/// The most items of a fan-out in one answer. Each brings its whole output.
pub const ITEMS_PAGE_MAX: usize = 1_000;

/// Events in one answer, where the request does not say.
pub const EVENTS_PAGE: usize = 500;

/// The most events in one answer. An event has at most a few dozen KiB, since larger values are blobs.
pub const EVENTS_PAGE_MAX: usize = 1_000;

/// How often an idle event stream sends a comment, so that proxies keep it open and a client that is gone is noticed.
pub const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Event streams served at once. They stay open for as long as a run takes: the rest of the connections is kept
/// for calls that end.
pub const STREAMS_MAX: usize = CONNECTIONS_MAX / 2;

/// Connections served at once, event streams included; more wait in the backlog of the socket.
/// Each costs a descriptor and some KiB.
pub const CONNECTIONS_MAX: usize = 1_024;

/// How long a client may take to send the head of a request, and how long a connection may idle between two.
pub const HEADER_READ_TIME: Duration = Duration::from_secs(30);

/// The most bytes of a request's head, and of the read buffer of a connection.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// How long open requests may go on after the host was asked to stop.
pub const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// How long who waits for a run may still hear of it after the host was asked to stop.
pub const LAST_WORD_TIME: Duration = Duration::from_secs(1);

/// The pause after the system refused a connection for want of descriptors or memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
