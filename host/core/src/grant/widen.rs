//! Two grants of the operator made into one that allows what either does.

use std::collections::BTreeMap;

use super::{DatabaseRule, FileRule, Grant, HttpRule, RecipientPattern, TablePattern};
use crate::flow::LimitsPatch;

impl Grant {
    /// Adds what another grant of the operator allows. Of the limits its own stay.
    pub fn widen(&mut self, other: &Self) {
        let Self { http, secrets, databases, email, blobs, files, limits } = other;
        add(&mut self.http, http, HttpRule::covers);
        if let Some(names) = secrets {
            self.secrets.get_or_insert_default().extend(names.iter().cloned());
        }
        if let Some(rules) = databases {
            widen_databases(self.databases.get_or_insert_default(), rules);
        }
        add(&mut self.email, email, RecipientPattern::covers);
        self.blobs = self.blobs.max(*blobs);
        if let Some(rules) = files {
            widen_files(self.files.get_or_insert_default(), rules);
        }
        if self.limits == LimitsPatch::default() {
            self.limits = *limits;
        }
    }
}

/// The patterns of both lists, without those that another one covers.
fn add<T: Clone>(own: &mut Option<Vec<T>>, other: &Option<Vec<T>>, covers: fn(&T, &T) -> bool) {
    let Some(other) = other else { return };
    let own = own.get_or_insert_default();
    for pattern in other {
        if !own.iter().any(|kept| covers(kept, pattern)) {
            own.retain(|kept| !covers(pattern, kept));
            own.push(pattern.clone());
        }
    }
}

fn widen_databases(own: &mut BTreeMap<String, DatabaseRule>, other: &BTreeMap<String, DatabaseRule>) {
    for (name, rule) in other {
        own.entry(name.clone()).and_modify(|kept| widen_database(kept, rule)).or_insert_with(|| rule.clone());
    }
}

fn widen_database(own: &mut DatabaseRule, other: &DatabaseRule) {
    own.access = own.access.max(other.access);
    match &other.tables {
        None => own.tables = None,
        Some(_) if own.tables.is_some() => add(&mut own.tables, &other.tables, TablePattern::covers),
        Some(_) => {}
    }
    own.rows = own.rows.zip(other.rows).map(|(one, other)| one.max(other));
    own.bytes = own.bytes.zip(other.bytes).map(|(one, other)| one.max(other));
    own.time = own.time.zip(other.time).map(|(one, other)| one.max(other));
}

/// A place can hold one folder: where both name it, the first one stays.
fn widen_files(own: &mut Vec<FileRule>, other: &[FileRule]) {
    for rule in other {
        match own.iter_mut().find(|kept| kept.at == rule.at) {
            Some(kept) => kept.access = kept.access.max(rule.access),
            None => own.push(rule.clone()),
        }
    }
}
