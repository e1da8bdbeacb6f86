use std::time::Duration;

use stepcell_core::{Json, RunId, StepId, problem::Problem, run::RunStatus};

/// Why the engine did not do what it was asked. Failures of a step are no errors: they are in the run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("there is no run `{0}`")]
    NoSuchRun(RunId),
    #[error("run `{run}` has no step `{step}`")]
    NoSuchStep { run: RunId, step: String },
    /// The step never fanned out.
    #[error("step `{step}` of run `{run}` has no items")]
    NoItems { run: RunId, step: String },
    /// There is nothing to try again.
    #[error("run `{run}` is {status}: {reason}")]
    NotRetryable { run: RunId, status: RunStatus, reason: &'static str },
    /// The run has ended; what was asked applies to a run that goes on.
    #[error("run `{run}` has ended already: {status}")]
    Finished { run: RunId, status: RunStatus },
    /// The step does not wait for what was sent; none of the run's does where no step is named.
    #[error("run `{run}` has no {} that waits for a signal", named(step.as_deref()))]
    NotWaiting { run: RunId, step: Option<String> },
    /// The wait was ended by an earlier resume or event: `first` is its signal, with who sent what and when.
    #[error("step `{step}` of run `{run}` was resumed already")]
    AlreadyResumed { run: RunId, step: StepId, first: Json },
    /// Several steps wait, and the resume names none.
    #[error("{} steps of run `{run}` wait for a signal: {}", steps.len(), list(steps))]
    AmbiguousStep { run: RunId, steps: Vec<StepId> },
    #[error("the payload does not fit what the step asks for")]
    PayloadInvalid(Vec<Problem>),
    #[error("{what} of {bytes} bytes is over the limit of {most}")]
    PayloadTooLarge { what: &'static str, bytes: usize, most: usize },
    #[error("the name `{name}` is not one for events")]
    ReservedEvent { name: String },
    #[error("{what} of the event is empty")]
    EventIncomplete { what: &'static str },
    #[error("the {what} of the event has {bytes} bytes, {most} at most")]
    EventTooLarge { what: &'static str, bytes: usize, most: usize },
    #[error("the input does not fit the flow's input schema")]
    InvalidInput(Vec<Problem>),
    /// The input names blobs that are not there.
    #[error("the input names a blob that is not there")]
    BlobMissing(Vec<Problem>),
    #[error("the input names more than {most} blobs")]
    TooManyBlobs { most: usize },
    #[error("a blob of {bytes} bytes is over the limit of {most}", most = crate::MAX_BLOB_BYTES)]
    BlobTooLarge { bytes: usize },
    /// The run goes on, so that it can not be removed.
    #[error("run `{run}` is {status}: only a run that has ended can be removed")]
    Unfinished { run: RunId, status: RunStatus },
    /// Another run was submitted under the same key.
    #[error("idempotency key `{key}` was used for another flow, input or retry, by run `{run}`")]
    IdempotencyKeyReused { key: String, run: RunId },
    /// As many runs are active and wait for their turn as the host takes.
    #[error("{queued} runs wait for their turn, and there is no room for {wanted} more")]
    QueueFull { queued: usize, wanted: usize, retry_after: Duration },
    #[error("the store did not do it: {0}")]
    Store(#[from] stepcell_store::Error),
    /// The log holds what the engine never writes.
    #[error("the log of run `{run}` is damaged: {reason}")]
    Damaged { run: RunId, reason: String },
    /// A plugin that the run pinned is gone from the folders and from the cache.
    #[error("a plugin that run `{run}` pinned is gone: step type `{kind}`, digest {digest}")]
    PluginGone { run: RunId, kind: String, digest: stepcell_core::Digest },
    #[error("the engine is stopping")]
    Stopping,
}

impl Error {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchRun(_) => "no_such_run",
            Self::NoSuchStep { .. } => "no_such_step",
            Self::NoItems { .. } => "no_items",
            Self::NotRetryable { .. } => "not_retryable",
            Self::Finished { .. } => "run_finished",
            Self::NotWaiting { .. } => "not_waiting",
            Self::AlreadyResumed { .. } => "already_resumed",
            Self::AmbiguousStep { .. } => "ambiguous_step",
            Self::PayloadInvalid(_) => "payload_invalid",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::ReservedEvent { .. } => "reserved_event",
            Self::EventIncomplete { .. } => "event_incomplete",
            Self::EventTooLarge { .. } => "event_too_large",
            Self::InvalidInput(_) => "invalid_input",
            Self::BlobMissing(_) => "blob_missing",
            Self::TooManyBlobs { .. } => "too_many_blobs",
            Self::BlobTooLarge { .. } => "blob_too_large",
            Self::Unfinished { .. } => "run_unfinished",
            Self::IdempotencyKeyReused { .. } => "idempotency_key_reused",
            Self::QueueFull { .. } => "queue_full",
            Self::Store(error) => error.code(),
            Self::Damaged { .. } => "run_damaged",
            Self::PluginGone { .. } => "plugin_gone",
            Self::Stopping => "stopping",
        }
    }

    /// What to do now.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchRun(_) => Some("`GET /api/v1/runs` lists the runs".to_owned()),
            Self::AlreadyResumed { .. } => Some("another step may wait by now: name it as `step`".to_owned()),
            Self::AmbiguousStep { .. } => Some("name one of them as `step`".to_owned()),
            Self::NotWaiting { run, .. } => {
                Some(format!("`GET /api/v1/runs/{run}` shows which steps wait, and for what"))
            }
            Self::PayloadTooLarge { .. } | Self::EventTooLarge { what: "payload", .. } => {
                Some("put what is large as a blob, and send its digest: `POST /api/v1/blobs`".to_owned())
            }
            Self::EventTooLarge { .. } => Some("shorten it".to_owned()),
            Self::ReservedEvent { .. } => {
                Some("approvals are given with `POST /api/v1/runs/{run_id}/resume`".to_owned())
            }
            Self::TooManyBlobs { .. } => Some("send the list of them as a blob of its own".to_owned()),
            Self::Unfinished { run, .. } => Some(format!("`POST /api/v1/runs/{run}/cancel` ends it")),
            Self::IdempotencyKeyReused { .. } => Some("use a new key for what is new".to_owned()),
            Self::QueueFull { .. } => {
                Some("try again later, or raise `concurrency.queue` in stepcell.yaml".to_owned())
            }
            Self::PluginGone { .. } => {
                Some("put the same file back into a plugin folder and submit the flow again".to_owned())
            }
            Self::Store(error) => error.hint().map(Into::into),
            _ => None,
        }
    }
}

fn named(step: Option<&str>) -> String {
    step.map_or_else(|| "step".to_owned(), |step| format!("step `{step}`"))
}

/// The most step names that a message shows.
const MAX_SHOWN_STEPS: usize = 10;

fn list(steps: &[StepId]) -> String {
    let mut names: Vec<_> = steps.iter().take(MAX_SHOWN_STEPS).map(|step| format!("`{step}`")).collect();
    if steps.len() > MAX_SHOWN_STEPS {
        names.push(format!("{} more", steps.len() - MAX_SHOWN_STEPS));
    }
    names.join(", ")
}
