//! What a flow and a step leave of the operator's grant, for those who want to show it. Whoever enforces grants
//! asks each level by itself.

use std::collections::BTreeMap;

use super::{DatabaseRule, FileRule, Grant, HttpRule, RecipientPattern, TablePattern};

/// An operator's grant, narrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// All but `http`, written as one grant of the operator.
    pub grant: Grant,
    /// The rules of each level that says anything, the operator's first. Each level needs one that admits a
    /// request: two lists of patterns have no common form.
    pub http: Vec<Vec<HttpRule>>,
}

impl Grant {
    /// What is left of this word of the operator once flow and step have narrowed it.
    pub fn narrowed_by<'a>(&self, levels: impl IntoIterator<Item = &'a Self>) -> Narrowed {
        let own = self.http.clone().unwrap_or_default();
        let whole = Narrowed { grant: Self { http: None, ..self.clone() }, http: vec![own] };
        levels.into_iter().fold(whole, Narrowed::by)
    }
}

impl Narrowed {
    /// Whether nothing can be asked for over HTTP, since one level has no rule.
    pub fn refuses_http(&self) -> bool {
        self.http.iter().any(Vec::is_empty)
    }

    fn by(mut self, level: &Grant) -> Self {
        if let Some(rules) = &level.http
            && !self.http.contains(rules)
        {
            self.http.push(rules.clone());
        }
        let grant = &mut self.grant;
        if let (Some(own), Some(left)) = (&mut grant.secrets, &level.secrets) {
            own.retain(|name| left.contains(name));
        }
        if let (Some(own), Some(left)) = (&mut grant.databases, &level.databases) {
            *own = databases(own, left);
        }
        if let (Some(own), Some(left)) = (&mut grant.email, &level.email) {
            *own = common(own, left, RecipientPattern::covers);
        }
        if let (Some(own), Some(left)) = (&mut grant.blobs, &level.blobs) {
            *own = (*own).min(*left);
        }
        if let (Some(own), Some(left)) = (&mut grant.files, &level.files) {
            *own = own.drain(..).filter_map(|rule| folder(rule, left)).collect();
        }
        self
    }
}

fn databases(
    own: &BTreeMap<String, DatabaseRule>,
    left: &BTreeMap<String, DatabaseRule>,
) -> BTreeMap<String, DatabaseRule> {
    own.iter().filter_map(|(name, rule)| Some((name.clone(), database(rule, left.get(name)?)))).collect()
}

fn database(own: &DatabaseRule, left: &DatabaseRule) -> DatabaseRule {
    DatabaseRule {
        access: own.access.min(left.access),
        tables: match (&own.tables, &left.tables) {
            (Some(own), Some(left)) => Some(common(own, left, TablePattern::covers)),
            (one, other) => one.clone().or_else(|| other.clone()),
        },
        rows: smaller(own.rows, left.rows),
        bytes: smaller(own.bytes, left.bytes),
        time: smaller(own.time, left.time),
    }
}

/// A folder stays where the narrowing names it, with the smaller access.
fn folder(rule: FileRule, left: &[FileRule]) -> Option<FileRule> {
    let left = left.iter().find(|left| left.at == rule.at)?;
    Some(FileRule { access: rule.access.min(left.access), ..rule })
}

/// What both lists admit. Two patterns have nothing in common, or one of them holds the other.
fn common<T: Clone + PartialEq>(own: &[T], left: &[T], covers: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let within = |pattern: &&T, list: &[T]| list.iter().any(|other| covers(other, pattern));
    let mut common: Vec<T> = own.iter().filter(|pattern| within(pattern, left)).cloned().collect();
    for pattern in left.iter().filter(|pattern| within(pattern, own)) {
        if !common.contains(pattern) {
            common.push(pattern.clone());
        }
    }
    common
}

fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
