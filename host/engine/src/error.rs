use stepcell_core::{RunId, StepId, problem::Problem, run::RunStatus};

/// Why the engine did not do what it was asked. Failures of a step are no errors: they are in the run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no run `{0}`")]
    NoSuchRun(RunId),
    #[error("run `{run}` has no step `{step}`")]
    NoSuchStep { run: RunId, step: String },
    /// The run has ended; what was asked applies to a run that goes on.
    #[error("run `{run}` has ended already: {status}")]
    Finished { run: RunId, status: RunStatus },
    /// The step does not wait for what was sent.
    #[error("step `{step}` of run `{run}` waits for no signal")]
    NotWaiting { run: RunId, step: StepId },
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
    /// As many runs are being driven as the host admits at once.
    #[error("{active} runs are active, as many as this host drives at once")]
    Busy { active: usize },
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
            Self::Finished { .. } => "run_finished",
            Self::NotWaiting { .. } => "not_waiting",
            Self::InvalidInput(_) => "invalid_input",
            Self::BlobMissing(_) => "blob_missing",
            Self::TooManyBlobs { .. } => "too_many_blobs",
            Self::BlobTooLarge { .. } => "blob_too_large",
            Self::Unfinished { .. } => "run_unfinished",
            Self::Busy { .. } => "too_many_runs",
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
            Self::TooManyBlobs { .. } => Some("send the list of them as a blob of its own".to_owned()),
            Self::Unfinished { run, .. } => Some(format!("`POST /api/v1/runs/{run}/cancel` ends it")),
            Self::Busy { .. } => Some("try again when some of them have ended".to_owned()),
            Self::PluginGone { .. } => {
                Some("put the same file back into a plugin folder and submit the flow again".to_owned())
            }
            Self::Store(error) => error.hint().map(Into::into),
            _ => None,
        }
    }
}
