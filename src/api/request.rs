//! What a request asks for, read out of its path and its query.

use axum::extract::Query;
use axum::http::Uri;

use super::resource::Names;
use super::status::Status;

/// What a path names, such as `/api/v1/namespaces/default/pods/web/log`.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// `""` for the core group.
    pub group: String,
    /// `v1`
    pub version: String,
    /// `""` for all of them, and for resources that are in none.
    pub namespace: String,
    /// `pods`
    pub resource: String,
    /// `""` for all of them.
    pub name: String,
    /// `""` for the object itself.
    pub subresource: String,
}

impl Target {
    /// Whether it is of this kind.
    pub fn is_of(&self, names: &Names) -> bool {
        (self.group.as_str(), self.version.as_str(), self.resource.as_str())
            == (names.group, names.version, names.plural)
    }

    /// What a path names, if it is one of a resource at all.
    pub fn parse(path: &str) -> Option<Self> {
        let mut segments = path.split('/').skip(1).peekable();
        let group = match segments.next()? {
            "api" => "",
            "apis" => segments.next()?,
            _ => return None,
        };
        let version = segments.next()?.to_owned();
        let mut rest: Vec<&str> = segments.collect();
        // One slash too many is forgiven.
        if rest.last() == Some(&"") {
            rest.pop();
        }
        if rest.contains(&"") {
            return None;
        }
        let mut target = Self { group: group.to_owned(), version, ..Self::default() };
        let rest = match rest.as_slice() {
            ["namespaces", _, "status" | "finalize"] => &rest[..],
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                target.namespace = (*namespace).to_owned();
                rest
            }
            rest => rest,
        };
        let (resource, rest) = rest.split_first()?;
        let text = |at: usize| rest.get(at).map_or_else(String::new, |text| (*text).to_owned());
        // What follows a subresource is its own business; nothing here has any.
        (rest.len() <= 2).then(|| {
            (target.resource, target.name, target.subresource) = ((*resource).to_owned(), text(0), text(1));
            target
        })
    }
}

/// What a query asks for. A parameter that is absent or `""` is none, and unknown ones are passed over, as the API server does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Of a request.
    pub fn of(uri: &Uri) -> Result<Self, Status> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        Ok(Self(query.map_err(|error| Status::bad_request(error.to_string()))?.0))
    }

    /// The first value of a parameter.
    pub fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is true or false; as in Go a parameter without a value is true, and `0` and `false` alone are false.
    pub fn flag(&self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// Likewise, where it matters whether it is there.
    pub fn optional_flag(&self, name: &str) -> Option<bool> {
        let value = self.all(name).next()?;
        Some(!matches!(value.to_ascii_lowercase().as_str(), "0" | "false"))
    }

    /// A parameter that is a number.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        let parts = |path: &str| {
            Target::parse(path).map(|target| {
                [
                    target.group,
                    target.version,
                    target.namespace,
                    target.resource,
                    target.name,
                    target.subresource,
                ]
                .join(",")
            })
        };
        for (path, expected) in [
            ("/api/v1/pods", Some(",v1,,pods,,")),
            ("/api/v1/pods/", Some(",v1,,pods,,")),
            ("/api/v1/nodes/n", Some(",v1,,nodes,n,")),
            ("/api/v1/nodes/n/status", Some(",v1,,nodes,n,status")),
            ("/api/v1/namespaces", Some(",v1,,namespaces,,")),
            ("/api/v1/namespaces/a", Some(",v1,,namespaces,a,")),
            ("/api/v1/namespaces/a/status", Some(",v1,,namespaces,a,status")),
            ("/api/v1/namespaces/a/pods", Some(",v1,a,pods,,")),
            ("/api/v1/namespaces/a/pods/p", Some(",v1,a,pods,p,")),
            ("/api/v1/namespaces/a/pods/p/log", Some(",v1,a,pods,p,log")),
            ("/apis/apps/v1/namespaces/a/deployments/d", Some("apps,v1,a,deployments,d,")),
            ("/api/v1/namespaces/a/pods/p/proxy/x", None),
            ("/api/v1/namespaces//pods", None),
            ("/api/v1", None),
            ("/api", None),
            ("/healthz", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(parts(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn parameters_are_read_as_go_reads_them() {
        let of = |query: &str| Parameters::of(&format!("/x?{query}").parse().unwrap()).unwrap();
        let parameters = of("a=1&b&c=false&d=0&e=True&f=a%3Db%2Cc&limit=&n=x&a=2");
        assert_eq!(parameters.text("f"), "a=b,c");
        assert_eq!(parameters.all("a").collect::<Vec<_>>(), ["1", "2"]);
        let flags = ["a", "b", "c", "d", "e", "g"].map(|name| parameters.flag(name));
        assert_eq!(flags, [true, true, false, false, true, false]);
        assert_eq!(parameters.number("a"), Ok(Some(1)));
        assert_eq!(parameters.number("limit"), Ok(None));
        assert_eq!(parameters.number("n").unwrap_err().code, 400);
    }
}
