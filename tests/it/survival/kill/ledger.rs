//! What clients were told.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::Value;

use super::kind::Kind;

/// Every run whose submission was acknowledged, by its client's name for it.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger {
    pub(super) runs: BTreeMap<String, Entry>,
    /// Who was told something since it was last looked.
    news: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) run: String,
    /// The run as it was when somebody was told that it has ended.
    pub(super) ended: Option<Value>,
    /// When somebody had been told that it is cancelled.
    pub(super) cancelled: Option<SystemTime>,
    /// The answer to its approval was acknowledged.
    pub(super) resumed: bool,
    /// An event was acknowledged as one that has woken it.
    pub(super) woken: bool,
}

impl Ledger {
    /// A submission was acknowledged.
    pub(super) fn begun(&mut self, label: &str, kind: Kind, run: &str) {
        let run = run.to_owned();
        let entry = Entry { kind, run, ended: None, cancelled: None, resumed: false, woken: false };
        let before = self.runs.insert(label.to_owned(), entry);
        assert!(before.is_none(), "{label} was begun twice");
        self.news.push(label.to_owned());
    }

    /// Something about a run was acknowledged.
    pub(super) fn told(&mut self, label: &str, change: impl FnOnce(&mut Entry)) {
        change(self.runs.get_mut(label).unwrap());
        self.news.push(label.to_owned());
    }

    /// The runs about which somebody was told something since the last call.
    pub(super) fn take_news(&mut self) -> Vec<(String, Entry)> {
        let mut news = std::mem::take(&mut self.news);
        news.dedup();
        news.into_iter().map(|label| (label.clone(), self.runs[&label].clone())).collect()
    }
}
