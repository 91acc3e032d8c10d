//! The gate before the handlers: nobody passes who may not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rustls::pki_types::CertificateDer;

use super::attributes::Attributes;
use super::{Tokens, User, impersonation, rules, subject};
use crate::api::status::Status;

/// The certificate that the client of a connection has shown, and TLS has verified. In the extensions of each request.
#[derive(Debug, Clone)]
pub struct PeerCertificate(pub CertificateDer<'static>);

/// Where a request comes from.
#[derive(Debug, Clone)]
enum Door {
    /// The port, where clients say who they are.
    Port(Arc<Tokens>),
    /// The unix socket, where they are root.
    Socket,
}

/// Puts the gate of the port before a router: behind it every request has a [`User`] in its extensions.
pub fn guard(router: Router, tokens: Arc<Tokens>) -> Router {
    router.layer(middleware::from_fn_with_state(Door::Port(tokens), pass))
}

/// Likewise the gate of the unix socket: whoever comes may do everything, unless they ask as somebody else.
pub fn guard_socket(router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(Door::Socket, pass))
}

async fn pass(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let user = match authenticate(&door, &request) {
        Ok(user) => user,
        Err(status) => return status.into_response(),
    };
    let name = user.name.clone();
    let user = match impersonation::take(user, request.headers_mut()) {
        Ok(user) => user,
        Err(error) => return error.answer(&name, request.uri()),
    };
    if !user.is_master() {
        let attributes = Attributes::of(request.method(), request.uri());
        if !rules::allow(&user, &attributes) {
            return attributes.refusal(&user.name).into_response();
        }
    }
    request.extensions_mut().insert(user);
    next.run(request).await
}

fn authenticate(door: &Door, request: &Request) -> Result<User, Status> {
    match door {
        Door::Port(tokens) => of_port(request.extensions().get(), request.headers(), tokens),
        Door::Socket => Ok(User::admin()),
    }
}

/// Who asks. A token that nobody bears is worse than none.
fn of_port(peer: Option<&PeerCertificate>, headers: &HeaderMap, tokens: &Tokens) -> Result<User, Status> {
    let unauthorized = || Status::plain(401, "Unauthorized", "Unauthorized");
    if let Some(PeerCertificate(certificate)) = peer {
        return subject::user(certificate).ok_or_else(unauthorized);
    }
    let Some(credentials) = headers.get(header::AUTHORIZATION) else { return Ok(User::anonymous()) };
    let token = credentials.to_str().ok().and_then(|credentials| credentials.split_once(' '));
    let token =
        token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    token.and_then(|token| tokens.user(token)).cloned().ok_or_else(unauthorized)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    async fn whoever(request: Request) -> String {
        request.extensions().get::<User>().unwrap().name.clone()
    }

    fn port() -> Router {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        std::fs::write(&file, "good,admin,1,system:masters\npoor,guest,2\n").unwrap();
        guard(Router::new().fallback(any(whoever)), Arc::new(Tokens::read(&file).unwrap()))
    }

    /// The code of the answer, and its body.
    async fn answer(router: Router, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let request =
            headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (code, String::from_utf8_lossy(&body).into_owned())
    }

    async fn asked(path: &str, authorization: Option<&str>) -> (u16, String) {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        answer(port(), path, &headers).await
    }

    #[tokio::test]
    async fn who_bears_a_token_of_the_masters_may_do_everything() {
        for authorization in ["Bearer good", "bearer good"] {
            assert_eq!(asked("/api/v1/pods", Some(authorization)).await, (200, "admin".to_owned()));
        }
    }

    #[tokio::test]
    async fn who_shows_something_that_is_not_known_is_nobody() {
        for authorization in ["Bearer bad", "Bearer ", "Basic good", "good"] {
            let (code, body) = asked("/healthz", Some(authorization)).await;
            assert_eq!(code, 401, "{authorization}");
            assert!(body.contains("\"message\":\"Unauthorized\""), "{body}");
        }
    }

    #[tokio::test]
    async fn who_is_known_and_no_master_may_ask_how_the_server_is() {
        assert_eq!(asked("/version", Some("Bearer poor")).await.0, 200);
        let (code, body) = asked("/api/v1/pods", Some("Bearer poor")).await;
        assert_eq!(code, 403);
        assert!(body.contains("pods is forbidden: User \\\"guest\\\" cannot list resource"), "{body}");
    }

    #[tokio::test]
    async fn who_says_nothing_may_ask_how_the_server_is() {
        for path in ["/healthz", "/livez", "/readyz", "/version"] {
            assert_eq!(asked(path, None).await, (200, "system:anonymous".to_owned()), "{path}");
        }
        for path in ["/", "/api", "/healthz/etcd", "/api/v1/namespaces/default/secrets"] {
            assert_eq!(asked(path, None).await.0, 403, "{path}");
        }
    }

    #[tokio::test]
    async fn whoever_asks_as_somebody_else_has_their_rights_and_no_others() {
        let socket = guard_socket(Router::new().fallback(any(whoever)));
        let good = [("authorization", "Bearer good"), ("impersonate-user", "x")];
        for (router, headers) in [(port(), &good[..]), (socket, &good[1..])] {
            let (code, body) = answer(router.clone(), "/api/v1/namespaces/default/pods", headers).await;
            let refusal = "pods is forbidden: User \\\"x\\\" cannot list resource \\\"pods\\\" in API group \\\"\\\" in the \
                           namespace \\\"default\\\"";
            assert!(code == 403 && body.contains(refusal), "{code} {body}");
            assert_eq!(answer(router.clone(), "/api", headers).await, (200, "x".to_owned()));
            let master = [headers, &[("impersonate-group", "system:masters")]].concat();
            assert_eq!(answer(router, "/api/v1/pods", &master).await, (200, "x".to_owned()));
        }
        let poor = [("authorization", "Bearer poor"), ("impersonate-user", "admin")];
        let (code, body) = answer(port(), "/version", &poor).await;
        assert!(code == 403 && body.contains("cannot impersonate resource"), "{code} {body}");
    }

    #[tokio::test]
    async fn groups_of_nobody_are_a_mistake_that_is_told() {
        let headers = [("authorization", "Bearer good"), ("impersonate-group", "g")];
        let (code, body) = answer(port(), "/api?a=b", &headers).await;
        assert_eq!(
            (code, body.as_str()),
            (
                500,
                "Internal Server Error: \"/api?a=b\": requested groups, uid or extra without impersonating a user\n"
            )
        );
    }
}
