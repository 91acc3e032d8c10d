//! Who is told which credentials: the registry itself and the token service that it names, over https; nobody else.

use serde_json::json;

use super::registry::{Asked, Fault, Registry, layer_path};
use super::*;
use crate::image::registry::Credential;
use crate::image::tests::is_root;

pub(super) fn me(password: &str) -> Credential {
    Credential::Basic { username: "me".to_owned(), password: password.to_owned() }
}

fn mine(credential: Credential) -> Vec<Grant> {
    vec![Grant { credential, is_nodes: false }]
}

/// `me:secret`.
pub(super) const BASIC: &str = "Basic bWU6c2VjcmV0";

fn heard(asked: &[Asked], authorization: &str) -> usize {
    asked.iter().filter(|asked| asked.authorization.as_deref() == Some(authorization)).count()
}

#[tokio::test]
async fn a_name_and_a_password_get_in_and_wrong_ones_do_not() {
    if !is_root("registry basic") {
        return;
    }
    let registry = Registry::secure().await;
    registry.image("app", Some("1"), "hello");
    registry.guard(BASIC, "Basic realm=\"registry\"");
    let node = Node::new();
    for credentials in [vec![], mine(me("wrong"))] {
        let error = problem(&node.pull_as(&registry, "app:1", credentials).await.unwrap_err());
        assert!(error.ends_with("401 Unauthorized: UNAUTHORIZED: authentication required"), "{error}");
    }
    let both = [mine(me("wrong")), mine(me("secret"))].concat();
    node.pull_as(&registry, "app:1", both).await.unwrap();
    assert_eq!(node.text(&registry, "app:1", "greeting"), "hello");
}

#[tokio::test]
async fn a_token_is_fetched_for_this_repository_and_again_when_it_has_expired() {
    if !is_root("registry token") {
        return;
    }
    let registry = Registry::secure().await;
    let layer = layer_path("app", &registry.image("app", Some("1"), "hello"));
    let challenge = format!("Bearer realm=\"https://{}/v2/token\",service=\"s\"", registry.address);
    registry.guard("Bearer one", &challenge);
    registry.put("token", json!({"token": "one"}).to_string().as_bytes(), "application/json");
    let expired = vec![("www-authenticate", challenge.clone())];
    registry.fault(&layer, &[Fault::Status(401, expired, "")]);
    let node = Node::new();
    node.pull_as(&registry, "app:1", mine(me("secret"))).await.unwrap();
    let asked = registry.asked();
    let tokens = of_tokens(&asked);
    assert_eq!(tokens.len(), 2, "{asked:?}");
    assert_eq!(tokens[0].path, "token?scope=repository%3Aapp%3Apull&service=s");
    assert_eq!(tokens[0].authorization.as_deref(), Some(BASIC));
    assert_eq!(heard(&asked, BASIC), 2, "the token service alone is told the password");
}

/// The requests of the token service.
fn of_tokens(asked: &[Asked]) -> Vec<&Asked> {
    asked.iter().filter(|asked| asked.path.starts_with("token")).collect()
}

#[tokio::test]
async fn an_identity_token_is_shown_to_the_token_service_alone_which_gives_another_for_it() {
    if !is_root("registry identity token") {
        return;
    }
    let registry = Registry::secure().await;
    registry.image("app", Some("1"), "hello");
    let challenge =
        format!("Bearer realm=\"https://{}/v2/token\",service=\"the registry\"", registry.address);
    registry.guard("Bearer two", &challenge);
    registry.put(
        "token",
        json!({"access_token": "two", "expires_in": 60}).to_string().as_bytes(),
        "application/json",
    );
    let node = Node::new();
    node.pull_as(&registry, "app:1", mine(Credential::Identity("one/=".into()))).await.unwrap();
    let asked = registry.asked();
    let [token] = of_tokens(&asked)[..] else { panic!("{asked:?}") };
    // RFC 6749, section 6.
    let form = "scope=repository%3Aapp%3Apull&service=the+registry&grant_type=refresh_token&refresh_token=one%2F%3D&client_id=mkubelet";
    assert_eq!((token.path.as_str(), token.form.as_str(), &token.authorization), ("token", form, &None));
    assert!(asked.iter().all(|asked| !format!("{:?}", asked.authorization).contains("one/=")));

    registry.fault("token", &[Fault::Status(401, vec![], "")]);
    let error = node.pull_as(&registry, "app:1", mine(Credential::Identity("old".into()))).await.unwrap_err();
    let expected = format!("POST https://{}/v2/token: 401 Unauthorized", registry.address);
    assert_eq!(problem(&error), expected);
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_layer_is_fetched_anew_and_the_layer_goes_on() {
    if !is_root("registry expiring token") {
        return;
    }
    let registry = Registry::secure().await;
    let layer = layer_path("app", &registry.image("app", Some("1"), &"hello ".repeat(1000)));
    let challenge = format!("Bearer realm=\"https://{}/v2/token\"", registry.address);
    registry.guard("Bearer one", &challenge);
    registry.put("token", json!({"token": "one"}).to_string().as_bytes(), "application/json");
    let expired = vec![("www-authenticate", challenge)];
    registry.fault(&layer, &[Fault::Cut(50), Fault::Status(401, expired, "")]);
    Node::new().pull_as(&registry, "app:1", mine(Credential::Identity("i".into()))).await.unwrap();
    let asked = registry.asked();
    assert_eq!(of_tokens(&asked).len(), 2, "{asked:?}");
    let ranges: Vec<_> = asked.iter().filter(|asked| asked.path == layer).map(|asked| &asked.range).collect();
    let on = Some("bytes=50-".to_owned());
    assert_eq!(ranges, [&None, &on, &on]);
}

#[tokio::test]
async fn a_token_that_lets_nobody_in_is_not_fetched_again_and_again() {
    let registry = Registry::secure().await;
    registry.image("app", Some("1"), "hello");
    registry.guard("Bearer other", &format!("Bearer realm=\"https://{}/v2/token\"", registry.address));
    registry.put("token", json!({"token": "one"}).to_string().as_bytes(), "application/json");
    let error = Node::new().pull_as(&registry, "app:1", mine(me("secret"))).await.unwrap_err();
    assert!(problem(&error).contains("401 Unauthorized"), "{error}");
    assert_eq!(of_tokens(&registry.asked()).len(), 1);
}

#[tokio::test]
async fn of_several_ways_in_the_first_that_is_open_is_taken() {
    if !is_root("registry challenges") {
        return;
    }
    let registry = Registry::secure().await;
    registry.image("app", Some("1"), "hello");
    let token = format!("https://{}/v2/token", registry.address);
    registry.put("token", json!({"token": "one"}).to_string().as_bytes(), "application/json");
    let closed = "Bearer realm=\"http://127.0.0.1:1/token\"";
    // What opens it, how it asks, who asks, and the query of the token service.
    let open =
        format!("Bearer realm=\"{token}\",service=s,scope=\"repository:app:pull repository:base:pull\"");
    let both = "token?scope=repository%3Aapp%3Apull&scope=repository%3Abase%3Apull&service=s";
    let identity = || Credential::Identity("i".into());
    for (guard, challenge, credential, path) in [
        ("Bearer one", format!("Basic realm=\"r\", {open}"), identity(), Some("token")),
        ("Bearer one", format!("{closed}, {open}"), me("secret"), Some(both)),
        (BASIC, format!("{closed}, Basic realm=\"r\""), me("secret"), None),
        (BASIC, format!("Digest realm=\"r\", Basic realm=\"r\", {open}"), me("secret"), None),
    ] {
        registry.guard(guard, &challenge);
        let pulled = Node::new().pull_as(&registry, "app:1", mine(credential)).await;
        pulled.unwrap_or_else(|error| panic!("{challenge}: {}", problem(&error)));
        let asked = registry.asked();
        let paths: Vec<&str> = of_tokens(&asked).iter().map(|asked| asked.path.as_str()).collect();
        assert_eq!(paths, path.into_iter().collect::<Vec<_>>(), "{challenge}");
    }
}

#[tokio::test]
async fn a_token_service_that_gives_none_or_is_not_reached_over_https_gets_nobody_in() {
    let (registry, plain) = (Registry::secure().await, Registry::plain().await);
    registry.image("app", Some("1"), "hello");
    for (realm, answer, reason) in [
        (format!("https://{}/v2/token", registry.address), json!({}), "it gave no token"),
        (format!("http://{}/v2/token", plain.address), json!({"token": "x"}), "is not reached over https"),
        ("nonsense".to_owned(), json!({}), "is not reached over https"),
    ] {
        registry.guard("Bearer x", &format!("Bearer realm=\"{realm}\""));
        registry.put("token", answer.to_string().as_bytes(), "application/json");
        let error = problem(&Node::new().pull_as(&registry, "app:1", mine(me("secret"))).await.unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(plain.asked(), []);
}

#[tokio::test]
async fn an_anonymous_pull_gets_a_token_of_its_own() {
    if !is_root("registry anonymous") {
        return;
    }
    let registry = Registry::plain().await;
    registry.image("app", Some("1"), "hello");
    registry.guard("Bearer all", &format!("Bearer realm=\"http://{}/v2/token\"", registry.address));
    registry.put("token", json!({"access_token": "all"}).to_string().as_bytes(), "application/json");
    Node::new().pull(&registry, "app:1").await.unwrap();
}

#[tokio::test]
async fn credentials_are_never_told_over_http() {
    let registry = Registry::plain().await;
    registry.image("app", Some("1"), "hello");
    registry.put("token", json!({"token": "x"}).to_string().as_bytes(), "application/json");
    for challenge in
        ["Basic realm=\"r\"".to_owned(), format!("Bearer realm=\"http://{}/v2/token\"", registry.address)]
    {
        registry.guard("Bearer x", &challenge);
        let credentials = [mine(me("secret")), mine(Credential::Token("x".into()))].concat();
        let error = problem(&Node::new().pull_as(&registry, "app:1", credentials).await.unwrap_err());
        assert!(error.contains("credentials are sent over https only"), "{error}");
    }
    assert!(registry.asked().iter().all(|asked| asked.authorization.is_none()));
}

#[tokio::test]
async fn no_redirect_takes_credentials_along_or_leads_out_of_https() {
    if !is_root("registry redirected credentials") {
        return;
    }
    let (registry, plain) = (Registry::secure().await, Registry::plain().await);
    let layer = layer_path("app", &registry.image("app", Some("1"), "hello"));
    plain.image("app", Some("1"), "hello");
    registry.guard(BASIC, "Basic realm=\"r\"");
    let to = |address: String| Fault::Status(302, vec![("location", address)], "");

    registry.fault(&layer, &[to(format!("http://{}/v2/{layer}", plain.address))]);
    let error = problem(&Node::new().pull_as(&registry, "app:1", mine(me("secret"))).await.unwrap_err());
    assert!(error.contains("a redirect from https to http"), "{error}");
    assert_eq!(plain.asked(), []);

    // To itself it may be told again; to another port, which is another origin, not.
    registry.fault(&layer, &[to(format!("/v2/{layer}?again"))]);
    registry.asked();
    Node::new().pull_as(&registry, "app:1", mine(me("secret"))).await.unwrap();
    let asked = registry.asked();
    let again = asked.iter().find(|asked| asked.path.ends_with("?again")).unwrap();
    assert_eq!(again.authorization.as_deref(), Some(BASIC));

    let elsewhere = Registry::secure().await;
    let mut endpoint = registry.endpoint();
    endpoint.authorities.extend(elsewhere.endpoint().authorities);
    elsewhere.image("app", Some("1"), "hello");
    registry.fault(&layer, &[to(format!("https://{}/v2/{layer}", elsewhere.address))]);
    let sources = vec![Source { endpoint, credentials: mine(me("secret")) }];
    Node::new().pull_from(&registry, "app:1", sources).await.unwrap();
    let asked = elsewhere.asked();
    assert_eq!((asked.len(), heard(&asked, BASIC)), (1, 0), "{asked:?}");
}

#[tokio::test]
async fn a_certificate_of_nobodys_authority_is_not_believed_unless_told_to() {
    if !is_root("registry certificate") {
        return;
    }
    let registry = Registry::secure().await;
    registry.image("app", Some("1"), "hello");
    let unknown = super::super::Endpoint { authorities: vec![], ..registry.endpoint() };
    let source = |endpoint| vec![Source { endpoint, credentials: vec![] }];
    let error =
        problem(&Node::new().pull_from(&registry, "app:1", source(unknown.clone())).await.unwrap_err());
    assert!(error.contains("certificate"), "{error}");
    let skipped = super::super::Endpoint { skip_verify: true, ..unknown };
    Node::new().pull_from(&registry, "app:1", source(skipped)).await.unwrap();
}
