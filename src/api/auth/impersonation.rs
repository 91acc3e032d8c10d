//! Asking as somebody else (`kubectl --as`): whoever may do everything may also be anybody.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/filters/impersonation.go`.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use super::attributes::Attributes;
use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User, rules};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// Why nobody else is asked as.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// It is not said who: groups alone are nobody.
    Nobody,
    /// They may not.
    Forbidden(Box<Attributes>),
}

/// Who asks, if `user` sends these headers; the headers that say so are taken out of them.
pub(super) fn take(user: User, headers: &mut HeaderMap) -> Result<User, Error> {
    let wanted = wanted(headers)?;
    let ours = headers.keys().filter(|name| is_ours(name)).cloned().collect::<Vec<_>>();
    ours.iter().for_each(|name| drop(headers.remove(name)));
    let Some(wanted) = wanted else { return Ok(user) };
    let attributes = attributes(&wanted.name);
    if rules::allow(&user, &attributes) { Ok(wanted) } else { Err(Error::Forbidden(attributes.into())) }
}

impl Error {
    /// As it is answered to `user`; the API server says what is wrong with headers in plain text.
    pub(super) fn answer(&self, user: &str, uri: &Uri) -> Response {
        match self {
            Self::Forbidden(attributes) => attributes.refusal(user).into_response(),
            Self::Nobody => {
                let text = format!(
                    "Internal Server Error: {:?}: requested groups, uid or extra without impersonating a user\n",
                    uri.to_string()
                );
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
            }
        }
    }
}

fn is_ours(name: &HeaderName) -> bool {
    matches!(name.as_str(), USER | GROUP | UID) || name.as_str().starts_with(EXTRA)
}

fn wanted(headers: &HeaderMap) -> Result<Option<User>, Error> {
    let text = |name: &str| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>()
    };
    let first = |name: &str| text(name).into_iter().next().unwrap_or_default();
    let extra = headers.keys().filter_map(|name| {
        let key = name.as_str().strip_prefix(EXTRA)?;
        Some((percent_decode_str(key).decode_utf8_lossy().into_owned(), text(name.as_str())))
    });
    let (name, groups, uid) = (first(USER), text(GROUP), first(UID));
    let extra: BTreeMap<String, Vec<String>> = extra.collect();
    if name.is_empty() {
        let is_nothing = groups.is_empty() && uid.is_empty() && extra.is_empty();
        return if is_nothing { Ok(None) } else { Err(Error::Nobody) };
    }
    let groups = groups_of(&name, groups);
    Ok(Some(User { name, uid, groups, extra }))
}

/// With the groups that everybody is in, unless it is said otherwise.
fn groups_of(name: &str, asked: Vec<String>) -> BTreeSet<String> {
    let mut groups: BTreeSet<String> = asked.into_iter().collect();
    if let (true, Some((namespace, _))) = (groups.is_empty(), service_account(name)) {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    if name == ANONYMOUS {
        groups.insert(UNAUTHENTICATED.to_owned());
    } else if !groups.contains(UNAUTHENTICATED) {
        groups.insert(AUTHENTICATED.to_owned());
    }
    groups
}

/// The namespace and the name in `system:serviceaccount:NAMESPACE:NAME`.
fn service_account(name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// What it is to be that user.
fn attributes(name: &str) -> Attributes {
    let (resource, namespace, name) = match service_account(name) {
        Some((namespace, name)) => ("serviceaccounts", namespace, name),
        None => ("users", "", name),
    };
    Attributes::Resource {
        verb: "impersonate".to_owned(),
        group: String::new(),
        namespace: namespace.to_owned(),
        resource: resource.to_owned(),
        subresource: String::new(),
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::MASTERS;
    use super::*;

    fn taken(user: User, lines: &[(&str, &str)]) -> (Result<User, Error>, Vec<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let taken = take(user, &mut headers);
        (taken, headers.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn a_master_is_whoever_the_headers_name() {
        let lines = [
            ("Impersonate-User", "x"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "b"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Extra-acme.com%2Fproject", "one"),
            ("Impersonate-Extra-acme.com%2Fproject", "two"),
            ("Accept", "*/*"),
        ];
        let (user, left) = taken(User::admin(), &lines);
        let user = user.unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("x", "7"));
        assert_eq!(user.groups.iter().collect::<Vec<_>>(), ["a", "b", AUTHENTICATED]);
        assert_eq!(
            user.extra,
            [("acme.com/project".to_owned(), vec!["one".to_owned(), "two".to_owned()])].into()
        );
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn everybody_is_in_the_groups_of_everybody() {
        for (name, asked, expected) in [
            ("x", vec![], vec![AUTHENTICATED]),
            ("x", vec![MASTERS], vec![AUTHENTICATED, MASTERS]),
            ("x", vec![UNAUTHENTICATED], vec![UNAUTHENTICATED]),
            (ANONYMOUS, vec![], vec![UNAUTHENTICATED]),
            (
                "system:serviceaccount:shop:web",
                vec![],
                vec![AUTHENTICATED, "system:serviceaccounts", "system:serviceaccounts:shop"],
            ),
            ("system:serviceaccount:shop:web", vec!["g"], vec!["g", AUTHENTICATED]),
            ("system:serviceaccount:shop", vec![], vec![AUTHENTICATED]),
        ] {
            let groups = groups_of(name, asked.iter().map(|&group| group.to_owned()).collect());
            assert_eq!(groups.iter().collect::<Vec<_>>(), expected, "{name} {asked:?}");
        }
    }

    #[test]
    fn nobody_else_may_be_somebody_else() {
        for (name, expected) in [
            (
                "x",
                "users \"x\" is forbidden: User \"guest\" cannot impersonate resource \"users\" in API group \"\" at the \
                 cluster scope",
            ),
            (
                "system:serviceaccount:shop:web",
                "serviceaccounts \"web\" is forbidden: User \"guest\" cannot impersonate resource \"serviceaccounts\" in \
                 API group \"\" in the namespace \"shop\"",
            ),
        ] {
            let (refused, _) = taken(User::new("guest", []), &[("Impersonate-User", name)]);
            let Err(Error::Forbidden(attributes)) = refused else { panic!("{refused:?}") };
            assert_eq!(attributes.refusal("guest").message, expected);
        }
    }

    #[test]
    fn a_group_without_a_user_is_a_mistake() {
        for name in ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-a"] {
            assert_eq!(taken(User::admin(), &[(name, "x")]).0, Err(Error::Nobody), "{name}");
        }
        assert_eq!(taken(User::admin(), &[("Impersonate-User", "")]).0, Ok(User::admin()));
    }
}
