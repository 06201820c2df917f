//! Who is let in: somebody on this machine who knows the token, and no page of another site.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use axum::middleware::Next;

use super::token::Token;
use super::{page, reply};
use crate::failure::Failure;

/// What is open to everybody on this machine: it says that the daemon lives, and no more.
pub(super) const HEALTH: &str = "/healthz";

/// Decides who is let in.
pub(super) struct Guard {
    token: Token,
    port: u16,
}

/// Why somebody is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    NoHost,
    ForeignHost,
    ForeignOrigin,
    NoToken,
    /// A change that a browser asks for without saying whose page does.
    NoOrigin,
}

impl Guard {
    pub(super) fn new(token: Token, port: u16) -> Self {
        Self { token, port }
    }

    /// The name of the browser's cookie. Cookies know no ports, so that two daemons need two names.
    fn cookie_name(&self) -> String {
        format!("driftless-{}", self.port)
    }

    /// The cookie that a browser gets for the token.
    pub(super) fn cookie(&self) -> String {
        let (name, value) = (self.cookie_name(), self.token.cookie());
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000")
    }

    pub(super) fn is_token(&self, said: &str) -> bool {
        self.token.is(said)
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        // A name of somebody else that was made to mean this machine is not ours.
        if !self.is_ours(one(headers, &header::HOST).ok_or(Refusal::NoHost)?) {
            return Err(Refusal::ForeignHost);
        }
        let origin = one(headers, &header::ORIGIN);
        let said = headers.contains_key(header::ORIGIN);
        let ours = |origin: &str| origin.strip_prefix("http://").is_some_and(|at| self.is_ours(at));
        if said && !origin.is_some_and(ours) {
            return Err(Refusal::ForeignOrigin);
        }
        if is_open(uri) || self.bears_token(headers) || asks_for_cookie(method, uri) {
            return Ok(());
        }
        match self.has_cookie(headers) {
            false => Err(Refusal::NoToken),
            true if is_safe(method) || said => Ok(()),
            true => Err(Refusal::NoOrigin),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = host.strip_suffix(&format!(":{}", self.port));
        let name = name.or_else(|| Some(host).filter(|_| self.port == 80));
        name.is_some_and(|name| matches!(name, "127.0.0.1" | "localhost" | "[::1]"))
    }

    fn bears_token(&self, headers: &HeaderMap) -> bool {
        let said = one(headers, &header::AUTHORIZATION).and_then(|said| said.split_once(' '));
        said.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && self.token.is(token.trim())
        })
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie_name();
        let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies = all.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
        cookies.any(|(key, value)| key.trim() == name && self.token.is_cookie(value.trim()))
    }
}

/// A header that is there once, as text.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())?.to_str().ok()
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What tells nothing of the library.
fn is_open(uri: &Uri) -> bool {
    uri.path() == HEALTH || uri.path().starts_with(page::ASSETS)
}

/// The page's address with the token in it, which is checked where it is exchanged.
fn asks_for_cookie(method: &Method, uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    *method == Method::GET && uri.path() == "/" && query.starts_with("token=")
}

impl Refusal {
    fn failure(self) -> Failure {
        let refused = |code, message: &str| Failure::refused(code, message);
        match self {
            Self::NoHost | Self::ForeignHost => {
                refused("foreign_host", "this is asked for under a name that is not this daemon's")
                    .next("ask for http://127.0.0.1 with the port that driftless status tells")
            }
            Self::ForeignOrigin => {
                refused("foreign_origin", "a page of another site asks for this")
                    .next("driftless dashboard")
            }
            Self::NoOrigin => {
                refused("foreign_origin", "a change is asked for by nobody knows which page")
                    .next("driftless dashboard, or send the token with the request")
            }
            Self::NoToken => refused("no_token", "this needs the daemon's token")
                .next("driftless dashboard tells the address with its token"),
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::NoToken => StatusCode::UNAUTHORIZED,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// Says it to a browser as a page, and to programs as they are told everything.
    fn response(self, headers: &HeaderMap) -> Response<Body> {
        let mut response = match page::is_for_people(headers) {
            true => page::problem_with(self.status(), &self.failure()),
            false => reply::with_status(self.status(), &self.failure()),
        };
        if self == Self::NoToken {
            let scheme = HeaderValue::from_static("Bearer realm=\"driftless\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Nobody is let in without the token.
pub(super) fn no_token(headers: &HeaderMap) -> Response<Body> {
    Refusal::NoToken.response(headers)
}

/// Lets in who may come in, and seals what is answered.
pub(super) async fn stand(
    State(guard): State<Arc<Guard>>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let checked = guard.check(request.method(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.response(request.headers()),
    };
    reply::seal(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(Token::keep(None).unwrap(), 7701)
    }

    fn check(guard: &Guard, request: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let (method, uri) = request.split_once(' ').unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        guard.check(&method.parse().unwrap(), &uri.parse().unwrap(), &map)
    }

    #[test]
    fn only_our_own_names_are_answered_to() {
        let guard = guard();
        for host in ["127.0.0.1:7701", "localhost:7701", "[::1]:7701"] {
            assert_eq!(check(&guard, "GET /healthz", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:7701", "127.0.0.1", "localhost:80", "127.0.0.1:7701.evil", ""] {
            let refused = check(&guard, "GET /healthz", &[("host", host)]);
            assert_eq!(refused, Err(Refusal::ForeignHost), "{host}");
        }
        assert_eq!(check(&guard, "GET /healthz", &[]), Err(Refusal::NoHost));
        let twice = [("host", "localhost:7701"), ("host", "evil.example")];
        assert_eq!(check(&guard, "GET /healthz", &twice), Err(Refusal::NoHost));
    }

    #[test]
    fn pages_of_other_sites_are_refused_even_with_the_token() {
        let guard = guard();
        let bearer = format!("Bearer {}", guard.token.text());
        let with = |origin| {
            let headers =
                [("host", "localhost:7701"), ("origin", origin), ("authorization", &bearer)];
            check(&guard, "POST /api/v1/down", &headers)
        };
        assert_eq!(with("http://127.0.0.1:7701"), Ok(()));
        for origin in
            ["null", "http://127.0.0.1:7702", "https://localhost:7701", "http://evil.example"]
        {
            assert_eq!(with(origin), Err(Refusal::ForeignOrigin), "{origin}");
        }
    }

    #[test]
    fn the_token_or_the_cookie_opens() {
        let guard = guard();
        let host = ("host", "127.0.0.1:7701");
        let bearer = format!("bearer {}", guard.token.text());
        let cookie = guard.cookie();
        let cookie = format!("a=b; {}", cookie.split(';').next().unwrap());
        let get = "GET /api/v1/status";
        assert_eq!(check(&guard, get, &[host]), Err(Refusal::NoToken));
        assert_eq!(check(&guard, get, &[host, ("authorization", &bearer)]), Ok(()));
        assert_eq!(
            check(&guard, get, &[host, ("authorization", "Bearer x")]),
            Err(Refusal::NoToken)
        );
        assert_eq!(check(&guard, get, &[host, ("cookie", &cookie)]), Ok(()));
        let swapped = format!("driftless-7701={}", guard.token.text());
        assert_eq!(check(&guard, get, &[host, ("cookie", &swapped)]), Err(Refusal::NoToken));
        // A page that changes something has to say which it is.
        let post = "POST /api/v1/down";
        assert_eq!(check(&guard, post, &[host, ("cookie", &cookie)]), Err(Refusal::NoOrigin));
        let origin = ("origin", "http://127.0.0.1:7701");
        assert_eq!(check(&guard, post, &[host, origin, ("cookie", &cookie)]), Ok(()));
    }

    #[test]
    fn the_token_in_an_address_is_for_the_page_alone() {
        let guard = guard();
        let host = ("host", "127.0.0.1:7701");
        assert_eq!(check(&guard, "GET /?token=x", &[host]), Ok(()));
        for other in ["POST /?token=x", "GET /api/v1/status?token=x", "GET /", "GET //?token=x"] {
            assert_eq!(check(&guard, other, &[host]), Err(Refusal::NoToken), "{other}");
        }
    }
}
