//! What the run's log says of a database that a step did not get.

use stepcell_core::grant::{DatabaseAccess, DatabaseRule, Grant, TablePattern, check_name};
use stepcell_database::Refused;

use super::{Failure, MAIN, Session};
use crate::{access::Refuser, capability::allow::Refusal};

impl Session {
    /// Somebody does not name this database.
    pub(super) fn refuse_database(
        &mut self,
        database: &str,
        refuser: Refuser,
        needs: DatabaseAccess,
    ) -> Failure {
        let reason = self.access.reason(refuser, &format!("the database `{database}`"));
        let allow = self.access.allow(refuser, |grant| {
            rules(grant).insert(database.to_owned(), DatabaseRule::new(needs));
        });
        self.refused(database, reason, allow)
    }

    /// The config does not name it.
    pub(super) fn unknown_database(&mut self, database: &str, names: &[&str]) -> Failure {
        // It would stand in lines that are pasted into the config.
        if check_name(database).is_err() {
            let shown: String = database.chars().take(80).flat_map(char::escape_debug).collect();
            return Failure::Invalid(format!("`{shown}` is no name of a database"));
        }
        let known = match names {
            [] => format!("this host opens none, not even `{MAIN}`"),
            names => format!("the config has `{}`", names.join("`, `")),
        };
        let allow = format!("databases:\n  {database}: {{ url: \"postgres://USER:PASSWORD@HOST/NAME\" }}");
        self.refused(database, format!("there is no such database; {known}"), allow)
    }

    /// The database itself, or the look at the statement before it, says that the grant is too small.
    pub(super) fn refuse_statement(
        &mut self,
        database: &str,
        what: &Refused,
        needs: Option<DatabaseAccess>,
        reason: String,
    ) -> Failure {
        let levels = self.access.database(database).unwrap_or_default();
        let in_the_way = levels.into_iter().find(|(_, rule)| match (what, needs) {
            (_, Some(needs)) => rule.access < needs,
            (Refused::Table(table), None) => {
                rule.tables.as_ref().is_some_and(|list| !list.iter().any(|pattern| pattern.admits(table)))
            }
            (Refused::Statement(_), None) => false,
        });
        let reason = match in_the_way {
            Some((Refuser::Narrowing(0), _)) => format!("{reason}, by the flow's own `grants`"),
            Some((Refuser::Narrowing(_), _)) => format!("{reason}, by the step's own `grants`"),
            Some((Refuser::Operator, _)) | None => reason,
        };
        // Where no level is in the way, no grant can help.
        let allow = in_the_way.map(|(refuser, _)| {
            self.access.allow(refuser, |grant| {
                if let Some(rule) = rules(grant).get_mut(database) {
                    widen(rule, what, needs);
                }
            })
        });
        let target = match what {
            Refused::Table(table) => format!("{database}.{table}"),
            Refused::Statement(_) => database.to_owned(),
        };
        self.refused(&target, reason, allow.unwrap_or_default())
    }

    fn refused(&mut self, target: &str, reason: String, allow: String) -> Failure {
        Failure::Denied(self.refuse(Refusal { capability: "database", target, reason, allow }))
    }
}

fn rules(grant: &mut Grant) -> &mut std::collections::BTreeMap<String, DatabaseRule> {
    grant.databases.get_or_insert_default()
}

fn widen(rule: &mut DatabaseRule, what: &Refused, needs: Option<DatabaseAccess>) {
    match (what, needs) {
        (_, Some(needs)) => rule.access = needs,
        // A name that no pattern can hold stays out.
        (Refused::Table(table), None) => {
            rule.tables.get_or_insert_default().extend(TablePattern::of_one(table));
        }
        (Refused::Statement(_), None) => {}
    }
}
