//! How requests fail, in the API server's words.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use super::fixture::{CONFIG_MAPS, World, answer, config_map};

#[tokio::test]
async fn failures_have_the_api_servers_codes_and_words() {
    const PATHLESS: &str = "the server could not find the requested resource";
    const METHODLESS: &str = "the server does not allow this method on the requested resource";
    let world = World::new();
    world.ask("POST", CONFIG_MAPS, config_map("a", "1")).await;
    let a = &format!("{CONFIG_MAPS}/a");
    let stale = || {
        let mut object = config_map("a", "2");
        object["metadata"]["resourceVersion"] = json!("1");
        object
    };
    let of_type = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "b"}});
    for (method, path, body, code, message) in [
        ("GET", "/api/v1/namespaces/default/configmaps/b", Value::Null, 404, "configmaps \"b\" not found"),
        ("GET", "/api/v1/chairs", Value::Null, 404, PATHLESS),
        ("GET", "/api/v2/configmaps", Value::Null, 404, PATHLESS),
        ("GET", "/apis/apps/v1/configmaps", Value::Null, 404, PATHLESS),
        ("GET", "/api/v1/configmaps/a", Value::Null, 404, PATHLESS),
        ("GET", "/api/v1/namespaces/default/configmaps/a/status", Value::Null, 404, PATHLESS),
        ("GET", "/nowhere", Value::Null, 404, PATHLESS),
        ("POST", a, config_map("a", "1"), 405, METHODLESS),
        ("PUT", CONFIG_MAPS, config_map("a", "1"), 405, METHODLESS),
        ("POST", "/api/v1/configmaps", config_map("b", "1"), 405, METHODLESS),
        ("BREW", CONFIG_MAPS, Value::Null, 405, METHODLESS),
        ("POST", CONFIG_MAPS, config_map("a", "1"), 409, "configmaps \"a\" already exists"),
        (
            "PUT",
            a,
            stale(),
            409,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            "PUT",
            a,
            config_map("b", "1"),
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (
            "POST",
            CONFIG_MAPS,
            json!({"metadata": {"name": "b", "namespace": "kube-system"}}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            "POST",
            CONFIG_MAPS,
            of_type("v2", "ConfigMap"),
            400,
            "the API version in the data (v2) does not match the expected API version (v1)",
        ),
        (
            "POST",
            CONFIG_MAPS,
            of_type("v1", "Secret"),
            400,
            "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion",
        ),
        (
            "POST",
            CONFIG_MAPS,
            json!({"data": {"a": "b"}}),
            422,
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            "GET",
            "/api/v1/configmaps?labelSelector=a%20b",
            Value::Null,
            400,
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            "GET",
            "/api/v1/configmaps?continue=x",
            Value::Null,
            400,
            "continue key is not valid: cannot be decoded",
        ),
        (
            "GET",
            "/api/v1/configmaps?resourceVersion=x",
            Value::Null,
            400,
            "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "GET",
            "/api/v1/configmaps?resourceVersion=1&resourceVersionMatch=Exact",
            Value::Null,
            410,
            "The resourceVersion for the provided list is too old.",
        ),
    ] {
        let answer = world.ask(method, path, body).await;
        assert_eq!((answer.code, answer.json["message"].as_str()), (code, Some(message)), "{method} {path}");
        assert_eq!((&answer.json["kind"], &answer.json["status"]), (&json!("Status"), &json!("Failure")));
    }
    let ahead = world.get("/api/v1/configmaps?resourceVersion=999999").await;
    assert_eq!((ahead.code, &ahead.json["details"]["retryAfterSeconds"]), (504, &json!(1)));
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_refused_or_warned_about_as_asked() {
    const BODY: &str = r#"{"metadata":{"name":"a"},"dta":{},"data":{"k":"1","k":"2"}}"#;
    let world = World::new();
    let post = async |validation: &str| {
        let uri = format!("{CONFIG_MAPS}?dryRun=All&fieldValidation={validation}");
        let request = Request::post(uri).header(header::CONTENT_TYPE, "application/json");
        answer(world.send(request.body(Body::from(BODY)).unwrap()).await).await
    };
    let strict = post("Strict").await;
    assert_eq!(
        (strict.code, strict.json["message"].as_str()),
        (
            400,
            Some(
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \
                 \"dta\", duplicate field \"data.k\""
            )
        )
    );
    for validation in ["Warn", ""] {
        let warned = post(validation).await;
        assert_eq!(warned.code, 201);
        assert_eq!(
            warned.warnings,
            [r#"299 - "unknown field \"dta\"""#, r#"299 - "duplicate field \"data.k\"""#]
        );
        assert_eq!((&warned.json["dta"], &warned.json["data"]["k"]), (&Value::Null, &json!("2")));
    }
    assert_eq!(post("Ignore").await.warnings, [""; 0]);
    assert_eq!(post("Maybe").await.code, 422);
}

#[tokio::test]
async fn bodies_are_json_or_yaml_and_not_too_long() {
    let world = World::new();
    let post = async |media_type: &str, body: String| {
        let request = Request::post(CONFIG_MAPS).header(header::CONTENT_TYPE, media_type);
        answer(world.send(request.body(Body::from(body)).unwrap()).await).await
    };
    let yaml = "metadata:\n  name: yaml\ndata:\n  a: \"1\"\n".to_owned();
    assert_eq!(post("application/yaml", yaml.clone()).await.json["data"]["a"], "1");
    let protobuf = post("application/vnd.kubernetes.protobuf", yaml.clone()).await;
    assert_eq!(
        (protobuf.code, protobuf.json["message"].as_str()),
        (400, Some("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"))
    );
    let other = post("text/plain", yaml).await;
    assert_eq!(other.code, 415);
    assert_eq!(
        other.json["message"],
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf"
    );
    assert_eq!(post("application/json", "{".to_owned()).await.code, 400);
    let long = post("application/json", " ".repeat(4 << 20)).await;
    assert_eq!(
        (long.code, long.json["message"].as_str()),
        (413, Some("Request entity too large: limit is 3145728"))
    );
}

#[tokio::test]
async fn nothing_is_sent_that_is_not_accepted() {
    let world = World::new();
    let ask = async |accept: &str| {
        let request = Request::get(CONFIG_MAPS).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
        answer(world.send(request).await).await
    };
    assert_eq!(ask("application/vnd.kubernetes.protobuf").await.code, 406);
    assert_eq!(ask("application/vnd.kubernetes.protobuf,*/*").await.json["kind"], "ConfigMapList");
    assert_eq!(ask("application/json;as=Table;g=meta.k8s.io;v=v1").await.json["kind"], "Table");
}

#[tokio::test]
async fn answers_are_yaml_for_those_who_want_it_but_for_watches() {
    let world = World::new();
    world.ask("POST", CONFIG_MAPS, config_map("a", "true")).await;
    let ask = async |path: &str| {
        let request = Request::get(path).header(header::ACCEPT, "application/yaml, application/json;q=0.5");
        let response = world.send(request.body(Body::empty()).unwrap()).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(parts.headers[header::CONTENT_TYPE], "application/yaml", "{path}");
        (parts.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
    };
    let (code, object) = ask(&format!("{CONFIG_MAPS}/a")).await;
    assert_eq!(code, 200);
    assert!(
        object.starts_with("apiVersion: v1\ndata:\n  key: \"true\"\nkind: ConfigMap\nmetadata:\n"),
        "{object}"
    );
    let (_, list) = ask(CONFIG_MAPS).await;
    assert!(list.contains("\nkind: ConfigMapList\n"), "{list}");
    let (code, status) = ask(&format!("{CONFIG_MAPS}/b")).await;
    assert!(code == 404 && status.contains("message: configmaps \"b\" not found\n"), "{status}");
    assert_eq!(ask(&format!("{CONFIG_MAPS}?watch=1")).await.0, 406);
}
