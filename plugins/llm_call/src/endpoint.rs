//! Where a question goes. Whether it may go there is for the host's connector to say, so that nothing is refused here.

/// Adds `path` to `base`, and before it `version` where the base lacks it. A query stays at the end. A base that names
/// no server stays as it is: behind `http://`, the path's first word would become one.
///
/// `bare_only` says that the version belongs to bases without any path: servers that speak the format of OpenAI have
/// paths of their own.
pub(crate) fn join(base: &str, version: &str, path: &str, bare_only: bool) -> String {
    if !names_server(base) {
        return base.to_owned();
    }
    let (base, query) = base.split_at(base.find(['?', '#']).unwrap_or(base.len()));
    let base = base.trim_end_matches('/');
    let has_version = if bare_only { has_path(base) } else { base.ends_with(version) };
    let version = if has_version { "" } else { version };
    format!("{base}{version}{path}{query}")
}

fn names_server(base: &str) -> bool {
    let server = base.split_once("://").and_then(|(_, rest)| rest.chars().next());
    server.is_some_and(|first| !matches!(first, '/' | '\\' | '?' | '#' | '\0'..=' '))
}

fn has_path(base: &str) -> bool {
    base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, bare_only: bool, expected: &str) {
        assert_eq!(join(base, "/v1", "/ask", bare_only), expected);
    }

    #[test]
    fn the_version_is_added_once() {
        check("https://h", false, "https://h/v1/ask");
        check("https://h/", false, "https://h/v1/ask");
        check("https://h/v1/", false, "https://h/v1/ask");
        check("https://h/gateway", false, "https://h/gateway/v1/ask");
    }

    #[test]
    fn a_path_of_its_own_stays_where_servers_have_one() {
        check("http://h:1", true, "http://h:1/v1/ask");
        check("http://h:1/", true, "http://h:1/v1/ask");
        check("https://h/openai/v1", true, "https://h/openai/v1/ask");
        check("https://h/api/paas/v4/", true, "https://h/api/paas/v4/ask");
    }

    #[test]
    fn a_query_stays_at_the_end() {
        check("https://h/v1?api-version=2", true, "https://h/v1/ask?api-version=2");
    }

    #[test]
    fn what_names_no_server_is_left_for_the_connector_to_refuse() {
        for base in [
            "",
            "not a url",
            "http://",
            "http:///",
            "http://\\",
            "http://\t/",
            "http:",
            "http://?",
            "data:text/plain,a",
        ] {
            check(base, true, base);
            check(base, false, base);
        }
    }
}
