//! What one execution may reach: the operator's word, narrowed by the flow and by the step.

use std::sync::Arc;

use serde_json::Value;
use stepcell_core::{
    Digest,
    grant::{BlobAccess, DatabaseRule, FileRule, Grant, HttpRule, RecipientPattern, Yaml},
};

/// Request ∩ operator ∩ flow ∩ step; the request is the component's imports, without which nothing is called.
#[derive(Debug, Clone)]
pub struct Access {
    /// The step type that refusals name.
    pub kind: Arc<str>,
    /// Where the operator's word stands, for the line to change.
    pub source: GrantSource,
    pub operator: Arc<Grant>,
    /// The flow's word, then the step's. Each has to allow what is asked for, as far as it says anything.
    pub narrowings: Vec<Arc<Grant>>,
}

/// Where the operator's word on a step type comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantSource {
    /// `grants.TYPE` in the config.
    Type,
    /// `grants.TYPE@sha256:…` in the config: for this very file.
    File(Digest),
    /// What the file that comes with the host gets without a line of config.
    Shipped,
    /// No line, and no file of the host's own.
    Nothing,
}

/// Who refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refuser {
    Operator,
    /// The flow or the step: the position in [`Access::narrowings`].
    Narrowing(usize),
}

impl Access {
    /// The operator's word alone.
    pub fn new(kind: Arc<str>, operator: Arc<Grant>) -> Self {
        Self { kind, source: GrantSource::Type, operator, narrowings: Vec::new() }
    }

    /// The rules of each level that says anything about HTTP: each level needs one rule that admits a request.
    pub(crate) fn http(&self) -> impl Iterator<Item = (Refuser, &[HttpRule])> {
        let own = self.operator.http.as_deref().unwrap_or_default();
        let levels = self.narrowings.iter().enumerate();
        std::iter::once((Refuser::Operator, own))
            .chain(levels.filter_map(|(at, level)| Some((Refuser::Narrowing(at), level.http.as_deref()?))))
    }

    /// The lines that would allow what was refused: all that the refuser said, with `change` made. An entry in the
    /// config replaces a default, and nobody should lose what worked by adding a line.
    pub(crate) fn allow(&self, refuser: Refuser, change: impl FnOnce(&mut Grant)) -> String {
        let said = match refuser {
            Refuser::Operator => Some(&self.operator),
            Refuser::Narrowing(level) => self.narrowings.get(level),
        };
        let mut grant = said.map(|grant| Grant::clone(grant)).unwrap_or_default();
        change(&mut grant);
        match refuser {
            Refuser::Operator => format!("grants:\n  {}: {grant}", Yaml(&Value::from(self.key()))),
            Refuser::Narrowing(_) => format!("grants: {grant}"),
        }
    }

    /// What the operator's word stands under. A word on the type would not count beside one on this very file.
    fn key(&self) -> String {
        match self.source {
            GrantSource::File(digest) => format!("{}@sha256:{digest}", self.kind),
            GrantSource::Type | GrantSource::Shipped | GrantSource::Nothing => self.kind.to_string(),
        }
    }

    /// Who refuses a secret, if anybody does.
    pub(crate) fn refuses_secret(&self, name: &str) -> Option<Refuser> {
        self.refused(|grant, whole| grant.secrets.as_ref().map_or(whole, |names| names.contains(name)))
    }

    /// The rules for a database, the operator's first; or who refuses it.
    pub(crate) fn database(&self, name: &str) -> Result<Vec<(Refuser, &DatabaseRule)>, Refuser> {
        let refused = self.refused(|grant, whole| {
            grant.databases.as_ref().map_or(whole, |databases| databases.contains_key(name))
        });
        match refused {
            Some(refuser) => Err(refuser),
            None => {
                let said = self
                    .levels()
                    .filter_map(|(who, grant)| Some((who, grant.databases.as_ref()?.get(name)?)));
                Ok(said.collect())
            }
        }
    }

    /// Who refuses mail to an address, if anybody does.
    pub(crate) fn refuses_recipient(&self, address: &str) -> Option<Refuser> {
        let admits = |rules: &Vec<RecipientPattern>| rules.iter().any(|rule| rule.admits(address));
        self.refused(|grant, whole| grant.email.as_ref().map_or(whole, admits))
    }

    /// Who refuses this use of blobs, if anybody does.
    pub(crate) fn refuses_blobs(&self, wanted: BlobAccess) -> Option<Refuser> {
        self.refused(|grant, whole| grant.blobs.map_or(whole, |given| given >= wanted))
    }

    /// The operator's folders as far as the flow and the step leave them.
    pub(crate) fn files(&self) -> Vec<FileRule> {
        let own = self.operator.files.iter().flatten().cloned();
        let narrowed = own.filter_map(|mut rule| {
            for level in self.narrowings.iter().filter_map(|level| level.files.as_ref()) {
                let left = level.iter().find(|left| left.at == rule.at)?;
                rule.access = rule.access.min(left.access);
            }
            Some(rule)
        });
        narrowed.collect()
    }

    /// `allows` gets what silence means: nothing for the operator, everything for those who narrow.
    fn refused(&self, allows: impl Fn(&Grant, bool) -> bool) -> Option<Refuser> {
        if !allows(&self.operator, false) {
            return Some(Refuser::Operator);
        }
        self.narrowings.iter().position(|level| !allows(level, true)).map(Refuser::Narrowing)
    }

    fn levels(&self) -> impl Iterator<Item = (Refuser, &Grant)> {
        let narrowings = self.narrowings.iter().enumerate();
        std::iter::once((Refuser::Operator, &*self.operator))
            .chain(narrowings.map(|(at, level)| (Refuser::Narrowing(at), &**level)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stepcell_core::grant::{FileAccess, Level};

    use super::*;

    fn grant(written: Value, level: Level) -> Arc<Grant> {
        let (grant, problems) = Grant::read(&written, level);
        assert_eq!(problems, []);
        Arc::new(grant)
    }

    fn add_secret(grant: &mut Grant) {
        grant.secrets.get_or_insert_default().insert("new".to_owned());
    }

    #[test]
    fn what_is_granted_today_stays_in_the_line() {
        let own = grant(json!({"http": ["https://*"], "secrets": ["old"]}), Level::Operator);
        let access = Access::new("my_step".into(), own);
        assert_eq!(
            access.allow(Refuser::Operator, add_secret),
            "grants:\n  my_step: { http: [\"https://*\"], secrets: [new, old] }"
        );
    }

    #[test]
    fn a_grant_of_one_file_is_changed_where_it_stands() {
        let mut access = Access::new("my_step".into(), Arc::default());
        let digest = Digest::of(b"x");
        access.source = GrantSource::File(digest);
        let line = access.allow(Refuser::Operator, add_secret);
        assert_eq!(line, format!("grants:\n  \"my_step@sha256:{digest}\": {{ secrets: [new] }}"));
    }

    #[test]
    fn folders_are_the_operators_as_far_as_flow_and_step_leave_them() {
        let own = json!({"files": ["/srv/in", {"path": "/srv/out", "access": "write"}, "/srv/other"]});
        let mut access = Access::new("my_step".into(), grant(own, Level::Operator));
        let flow =
            grant(json!({"files": ["/in", {"at": "/out", "access": "write"}, "/none"]}), Level::Narrowing);
        let step = grant(json!({"files": [{"at": "/in", "access": "write"}, "/out"]}), Level::Narrowing);
        let seen = |access: &Access| -> Vec<(String, FileAccess)> {
            access.files().into_iter().map(|rule| (rule.at, rule.access)).collect()
        };
        assert_eq!(seen(&access).len(), 3);
        access.narrowings = vec![flow, Arc::default()];
        let (read, write) = (FileAccess::Read, FileAccess::Write);
        assert_eq!(seen(&access), [("/in".to_owned(), read), ("/out".to_owned(), write)]);
        access.narrowings[1] = step;
        assert_eq!(seen(&access), [("/in".to_owned(), read), ("/out".to_owned(), read)]);
        access.narrowings[1] = grant(json!({"files": []}), Level::Narrowing);
        assert_eq!(seen(&access), []);
    }
}
