//! What the login can do that a step should not.
//!
//! A role narrows what the login user may do; a statement can leave it again (`set_config` is an ordinary function).
//! So nothing that the login user can become may have more rights than steps are meant to have. That is the
//! operator's to arrange; here it is found out and said.

use tokio_postgres::{Client, types::Type};

/// How many of each are named.
const NAMED_MAX: usize = 3;

/// Whom the login may become, the role and what that is a member of left out, with rights that reach past tables.
const POWERS: &str = "\
SELECT r.rolname::text
FROM pg_catalog.pg_roles r
WHERE pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
  AND ($1::text IS NULL OR NOT (r.rolname = $1 OR pg_catalog.pg_has_role($1, r.oid, 'MEMBER')))
  AND (r.rolsuper OR r.rolcreaterole OR r.rolbypassrls OR r.rolreplication OR r.rolname IN
       ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_read_all_data', 'pg_write_all_data'))
ORDER BY r.rolsuper DESC, r.rolname";

/// Tables on which somebody whom the login may become has rights that the role has not.
const TABLES: &str = "\
SELECT c.oid::pg_catalog.regclass::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND EXISTS (
    SELECT FROM pg_catalog.pg_roles r,
         LATERAL pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p(right_)
    WHERE pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
      AND pg_catalog.has_table_privilege(r.oid, c.oid, p.right_)
      AND NOT pg_catalog.has_table_privilege($1, c.oid, p.right_))
ORDER BY 1 LIMIT 10";

/// One sentence for each thing; empty where all is well. Runs before anything of a step does.
pub(super) async fn warnings(
    client: &Client,
    role: Option<&str>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut warnings = Vec::new();
    let row = client.query_typed_one("SELECT session_user::text, (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)", &[]).await?;
    let (user, is_superuser): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
    if is_superuser {
        // Whatever else it may do follows from that.
        return Ok(vec![format!(
            "logs in as the superuser `{user}`: no role and no read-only transaction holds a statement of it back from the \
             server's files and programs; log in as a user who may do nothing but become the role"
        )]);
    }
    let powers = named(client.query_typed(POWERS, &[(&role, Type::TEXT)]).await?)?;
    if let Some(powers) = powers {
        warnings.push(format!(
            "logs in as `{user}`, who may become {powers}, with rights past tables: a statement can do the same"
        ));
    }
    let Some(role) = role else { return Ok(warnings) };
    if let Some(tables) = named(client.query_typed(TABLES, &[(&role, Type::TEXT)]).await?)? {
        warnings.push(format!(
            "logs in as `{user}`, who can do more than the role `{role}` with {tables}: a statement can leave the role, \
             so that the user should have no rights but through it (NOINHERIT, member of `{role}` only)"
        ));
    }
    Ok(warnings)
}

/// The first column, for a sentence.
fn named(rows: Vec<tokio_postgres::Row>) -> Result<Option<String>, tokio_postgres::Error> {
    let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    let shown: Vec<String> = names.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > NAMED_MAX { " and others" } else { "" };
    Ok((!shown.is_empty()).then(|| format!("{}{more}", shown.join(", "))))
}
