//! What somebody may ask of themselves: who they are (`kubectl auth whoami`), and what they may do (`kubectl auth can-i`).
//!
//! These are kinds that are only ever created, and not kept: the answer is the object's status.

use axum::extract::Request;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::User;
use crate::api::body;
use crate::api::resource::Names;
use crate::api::status::Status;

/// `SelfSubjectReview`.
pub const WHO_AM_I: Names = Names {
    group: "authentication.k8s.io",
    version: "v1",
    plural: "selfsubjectreviews",
    singular: "selfsubjectreview",
    kind: "SelfSubjectReview",
    short_names: &[],
    categories: &[],
    namespaced: false,
    subresources: &[],
};

/// `SelfSubjectAccessReview`.
pub const CAN_I: Names = Names {
    group: "authorization.k8s.io",
    version: "v1",
    plural: "selfsubjectaccessreviews",
    singular: "selfsubjectaccessreview",
    kind: "SelfSubjectAccessReview",
    ..WHO_AM_I
};

/// The routes of both.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/apis/authentication.k8s.io/v1/selfsubjectreviews", post(who_am_i))
        .route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", post(can_i))
}

async fn who_am_i(request: Request) -> Json<Value> {
    let user = user(&request);
    Json(json!({
        "kind": WHO_AM_I.kind,
        "apiVersion": WHO_AM_I.api_version(),
        "metadata": {"creationTimestamp": null},
        "status": {"userInfo": {"username": user.name, "groups": user.groups}},
    }))
}

/// Masters may do everything; nobody else gets here.
async fn can_i(request: Request) -> Result<Json<Value>, Status> {
    let user = user(&request);
    let (parts, body) = request.into_parts();
    let question = body::parse(&parts.headers, &body::read(body).await?)?.value;
    Ok(Json(json!({
        "kind": CAN_I.kind,
        "apiVersion": CAN_I.api_version(),
        "metadata": {"creationTimestamp": null},
        "spec": question["spec"],
        "status": {"allowed": user.is_master()},
    })))
}

/// Whoever comes by the unix socket has passed no gate, being root.
fn user(request: &Request) -> User {
    request.extensions().get().cloned().unwrap_or_else(User::admin)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt;

    use super::*;

    async fn asked(path: &str, user: Option<User>, body: &str) -> Value {
        let mut request = Request::post(path).body(Body::from(body.to_owned())).unwrap();
        if let Some(user) = user {
            request.extensions_mut().insert(user);
        }
        let response = router::<()>().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn whoever_asks_who_they_are_is_told() {
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = asked(path, Some(User::new("me", [super::super::MASTERS.to_owned()])), "{}").await;
        assert_eq!(
            answer["status"]["userInfo"],
            json!({"username": "me", "groups": ["system:authenticated", "system:masters"]})
        );
        assert_eq!(asked(path, None, "{}").await["status"]["userInfo"]["username"], "system:admin");
    }

    #[tokio::test]
    async fn masters_may_do_everything_and_others_nothing() {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let question = r#"{"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods"}}}"#;
        let answer = asked(path, None, question).await;
        assert_eq!(
            (&answer["status"]["allowed"], &answer["spec"]["resourceAttributes"]["verb"]),
            (&json!(true), &json!("delete"))
        );
        let guest = User::new("guest", []);
        assert_eq!(asked(path, Some(guest), question).await["status"]["allowed"], false);
        assert_eq!(asked(path, None, "{").await["code"], 400);
    }
}
