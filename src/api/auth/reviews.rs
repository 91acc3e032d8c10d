//! What somebody may ask of themselves: who they are (`kubectl auth whoami`), whether they may do something (`kubectl auth can-i`), and all that
//! they may do (`kubectl auth can-i --list`).
//!
//! These are kinds that are only ever created, and not kept: the answer is the object's status.

use axum::extract::Request;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::attributes::Attributes;
use super::{User, rules};
use crate::api::body;
use crate::api::resource::Names;
use crate::api::status::{FieldError, Status};

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

/// `SelfSubjectRulesReview`.
pub const MY_RULES: Names = Names {
    group: "authorization.k8s.io",
    version: "v1",
    plural: "selfsubjectrulesreviews",
    singular: "selfsubjectrulesreview",
    kind: "SelfSubjectRulesReview",
    ..WHO_AM_I
};

/// The routes of them.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/apis/authentication.k8s.io/v1/selfsubjectreviews", post(who_am_i))
        .route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", post(can_i))
        .route("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", post(my_rules))
}

async fn who_am_i(request: Request) -> Json<Value> {
    let user = user(&request);
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    Json(json!({
        "kind": WHO_AM_I.kind,
        "apiVersion": WHO_AM_I.api_version(),
        "metadata": {"creationTimestamp": null},
        "status": {"userInfo": info},
    }))
}

async fn can_i(request: Request) -> Result<Json<Value>, Status> {
    let (user, question) = question(request).await?;
    let spec = &question["spec"];
    let Some(attributes) = Attributes::asked(spec) else {
        let (field, why) = if spec["resourceAttributes"].is_object() {
            ("spec.nonResourceAttributes", "cannot be specified in combination with resourceAttributes")
        } else {
            (
                "spec.resourceAttributes",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
        };
        let error = FieldError::invalid(field, spec["nonResourceAttributes"].clone(), why);
        return Err(Status::invalid(&CAN_I, "", &[error]));
    };
    Ok(answer(&CAN_I, spec, json!({"allowed": rules::allow(&user, &attributes)})))
}

async fn my_rules(request: Request) -> Result<Json<Value>, Status> {
    let (user, question) = question(request).await?;
    let spec = &question["spec"];
    if spec["namespace"].as_str().unwrap_or_default().is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    Ok(answer(&MY_RULES, spec, rules::status(&user)))
}

async fn question(request: Request) -> Result<(User, Value), Status> {
    let user = user(&request);
    let (parts, body) = request.into_parts();
    Ok((user, body::parse(&parts.headers, &body::read(body).await?)?.value))
}

fn answer(names: &Names, spec: &Value, status: Value) -> Json<Value> {
    Json(json!({
        "kind": names.kind,
        "apiVersion": names.api_version(),
        "metadata": {"creationTimestamp": null},
        "spec": spec,
        "status": status,
    }))
}

/// A client within this process has passed no gate.
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
        let nothing = asked(path, None, r#"{"spec": {}}"#).await;
        assert_eq!(
            nothing["message"],
            "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: \
             exactly one of nonResourceAttributes or resourceAttributes must be specified"
        );
    }

    #[tokio::test]
    async fn whoever_asks_what_they_may_do_is_told_all_of_it() {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let question = r#"{"spec": {"namespace": "default"}}"#;
        let of_root = asked(path, None, question).await;
        assert_eq!(
            of_root["status"]["resourceRules"][0],
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        );
        let of_guest = asked(path, Some(User::new("guest", [])), question).await;
        let verbs =
            of_guest["status"]["resourceRules"].as_array().unwrap().iter().map(|rule| rule["verbs"].clone());
        assert_eq!(verbs.collect::<Vec<_>>(), [json!(["create"]), json!(["create"])]);
        assert_eq!(of_guest["status"]["incomplete"], false);
        assert_eq!(asked(path, None, "{}").await["message"], "no namespace on request");
    }
}
