//! What the next request looks like where a response says that the thing is elsewhere.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::{Denied, Request, Target, mask::Mask, secrets};
use crate::access::Access;

/// Redirects that can be followed, whatever the step asks for. Protects from a loop that each grant admits.
pub(super) const MAX_REDIRECTS: u32 = 20;

/// Meant for the first origin only.
const SECRET: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
/// Say something of a body that is no longer sent.
const OF_THE_BODY: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION];

/// Where a response sends us, if it is a redirect that can be followed.
pub(super) fn location(
    from: &Target,
    status: StatusCode,
    headers: &HeaderMap,
    mask: &Mask<'_>,
) -> Option<Result<Target, Denied>> {
    let follows = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = headers.get(header::LOCATION).filter(|_| follows)?;
    // A host that was sent a secret must not be able to send it on: what it echoes is the placeholder again, and
    // goes through all checks of one.
    let masked = mask.value(location);
    let location = masked.as_ref().unwrap_or(location);
    // Raw UTF-8 is sent by enough servers that browsers take it.
    let text = String::from_utf8_lossy(location.as_bytes());
    Some(from.join(text.trim()).map_err(Denied::from))
}

/// Turns the request into the next one, as RFC 9110 and browsers have it. Headers with secrets that may not go to
/// the new target are dropped like other credentials.
pub(super) fn rewrite(request: &mut Request, access: &Access, status: StatusCode, target: Target) {
    let to_get = match status {
        StatusCode::SEE_OTHER => request.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        _ => false,
    };
    if to_get {
        request.method = Method::GET;
    }
    if to_get || status == StatusCode::SEE_OTHER {
        request.body = Bytes::new();
        request.trailers = HeaderMap::new();
        remove(&mut request.headers, &OF_THE_BODY);
    }
    if target.origin() != request.target.origin() {
        remove(&mut request.headers, &SECRET);
    }
    secrets::strip(request, access, &target);
    request.target = target;
}

fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::tests::support;

    fn request(method: Method) -> Request {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "content-type", "x-own"] {
            headers.insert(name, "v".parse().unwrap());
        }
        let target = Target::parse("https://a.example/x").unwrap();
        Request { headers, body: Bytes::from_static(b"body"), ..support::request(method, target) }
    }

    #[track_caller]
    fn check(method: Method, status: u16, to: &str, expected: (Method, &str, &[&str])) {
        let mut request = request(method);
        rewrite(
            &mut request,
            &support::nothing(),
            StatusCode::from_u16(status).unwrap(),
            Target::parse(to).unwrap(),
        );
        let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let body = std::str::from_utf8(&request.body).unwrap();
        assert_eq!((request.method, body, names.as_slice()), expected, "{status}");
    }

    #[test]
    fn method_and_body_follow_the_status() {
        let here = "https://a.example/y";
        let all: &[&str] = &["authorization", "content-type", "cookie", "x-own"];
        let bare: &[&str] = &["authorization", "cookie", "x-own"];
        check(Method::POST, 301, here, (Method::GET, "", bare));
        check(Method::POST, 302, here, (Method::GET, "", bare));
        check(Method::PUT, 302, here, (Method::PUT, "body", all));
        check(Method::PUT, 303, here, (Method::GET, "", bare));
        check(Method::HEAD, 303, here, (Method::HEAD, "", bare));
        check(Method::POST, 307, here, (Method::POST, "body", all));
        check(Method::POST, 308, here, (Method::POST, "body", all));
    }

    #[test]
    fn secrets_stay_with_their_origin() {
        for elsewhere in ["https://b.example/", "http://a.example/", "https://a.example:8443/"] {
            check(Method::GET, 307, elsewhere, (Method::GET, "body", &["content-type", "x-own"]));
        }
    }

    #[test]
    fn only_a_redirect_with_a_location_leads_on() {
        let mask = Mask::new(&[]);
        let from = Target::parse("https://a.example/x").unwrap();
        let mut headers = HeaderMap::new();
        assert!(location(&from, StatusCode::FOUND, &headers, &mask).is_none());
        headers.insert(header::LOCATION, "/ü".parse().unwrap());
        assert!(location(&from, StatusCode::OK, &headers, &mask).is_none());
        assert!(location(&from, StatusCode::NOT_MODIFIED, &headers, &mask).is_none());
        let next = location(&from, StatusCode::FOUND, &headers, &mask).unwrap().unwrap();
        assert_eq!(next.url().as_str(), "https://a.example/%C3%BC");
    }
}
