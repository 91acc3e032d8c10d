//! The gate before the handlers of the port: nobody passes who may not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rustls::pki_types::CertificateDer;

use super::attributes::Attributes;
use super::{Tokens, User, subject};
use crate::api::status::Status;

/// What everybody may ask (`system:public-info-viewer`).
const PUBLIC: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// The certificate that the client of a connection has shown, and TLS has verified. In the extensions of each request.
#[derive(Debug, Clone)]
pub struct PeerCertificate(pub CertificateDer<'static>);

/// Puts the gate before a router: behind it every request has a [`User`] in its extensions.
pub fn guard(router: Router, tokens: Arc<Tokens>) -> Router {
    router.layer(middleware::from_fn_with_state(tokens, pass))
}

async fn pass(State(tokens): State<Arc<Tokens>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<PeerCertificate>();
    let user = match authenticate(peer, request.headers(), &tokens) {
        Ok(user) => user,
        Err(status) => return status.into_response(),
    };
    if let Err(status) = authorize(&user, &request) {
        return status.into_response();
    }
    request.extensions_mut().insert(user);
    next.run(request).await
}

/// Who asks. A token that nobody bears is worse than none.
fn authenticate(
    peer: Option<&PeerCertificate>,
    headers: &HeaderMap,
    tokens: &Tokens,
) -> Result<User, Status> {
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

fn authorize(user: &User, request: &Request) -> Result<(), Status> {
    let path = request.uri().path();
    let is_public = PUBLIC.contains(&path.strip_suffix('/').unwrap_or(path));
    if user.is_master() || is_public && matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let refusal = Attributes::of(request.method(), request.uri()).refusal(&user.name);
    Err(Status::plain(403, "Forbidden", refusal))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    /// The code of the answer, and its body.
    async fn asked(path: &str, authorization: Option<&str>) -> (u16, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        std::fs::write(&file, "good,admin,1,system:masters\npoor,guest,2\n").unwrap();
        let whoever =
            |request: Request| async move { request.extensions().get::<User>().unwrap().name.clone() };
        let router = guard(Router::new().fallback(any(whoever)), Arc::new(Tokens::read(&file).unwrap()));
        let mut request = Request::get(path);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (code, String::from_utf8_lossy(&body).into_owned())
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
        for path in ["/healthz", "/livez/", "/readyz", "/version"] {
            assert_eq!(asked(path, None).await, (200, "system:anonymous".to_owned()), "{path}");
        }
        for path in ["/", "/api", "/healthz/etcd", "/api/v1/namespaces/default/secrets"] {
            assert_eq!(asked(path, None).await.0, 403, "{path}");
        }
    }
}
