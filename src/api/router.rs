//! From a request to its verb: finds the kind, then calls one function of `rest`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::debug::{self, Traces};
use super::kubelet::{self, Kubelet};
use super::metrics::{self, Meter};
use super::object::Object;
use super::represent::Format;
use super::request::{Parameters, Target};
use super::resource::{Context, Resource};
use super::rest::{self, Call};
use super::status::Status;
use super::store::{Expected, Key, Store};
use super::{custom_resources, discovery, emptying, expiry, garbage, kinds};
use crate::pod::sysctl::Allowed;

/// Namespaces that are there from the start.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Subresources that are made, and change the object.
const OF_OBJECTS: [&str; 2] = ["binding", "eviction"];

/// What serves the API: the objects, the kinds, and who carries out what is not about objects alone.
pub struct Api {
    store: Arc<Store>,
    kinds: Vec<Arc<dyn Resource>>,
    node_name: String,
    connects: Vec<(&'static str, &'static str, Connect)>,
    meter: Option<Arc<dyn Meter>>,
    kubelet: Option<Arc<dyn Kubelet>>,
    traces: Option<Arc<dyn Traces>>,
}

/// Answers a subresource that is a connection, such as `pods/exec`, instead of the generic handlers.
pub type Connect = Arc<dyn Fn(Connection) -> BoxFuture<'static, Response> + Send + Sync>;

/// A request for such a subresource.
pub struct Connection {
    /// The object that it is about.
    pub object: Object,
    /// What the path names.
    pub target: Target,
    /// What the query asks for.
    pub parameters: Parameters,
    /// The request itself, to be upgraded.
    pub request: Request,
}

impl Api {
    /// Serves a store's objects of all kinds, on the node of this name, where pods may set these kernel parameters beyond the safe
    /// ones.
    pub fn new(store: Arc<Store>, node_name: &str, sysctls: &Allowed) -> Result<Self, Status> {
        let (kinds, node_name) = (kinds::all(sysctls), node_name.to_owned());
        let api =
            Self { store, kinds, node_name, connects: Vec::new(), meter: None, kubelet: None, traces: None };
        api.ensure_namespaces()?;
        Ok(api)
    }

    /// The same, with a subresource that `connect` answers.
    #[must_use]
    pub fn with_connect(mut self, plural: &'static str, subresource: &'static str, connect: Connect) -> Self {
        self.connects.push((plural, subresource, connect));
        self
    }

    /// The same, with somebody who measures what is used.
    #[must_use]
    pub fn with_meter(self, meter: Arc<dyn Meter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Who measures what is used, if somebody does.
    pub fn meter(&self) -> Option<&Arc<dyn Meter>> {
        self.meter.as_ref()
    }

    /// The same, with somebody who knows how the node is.
    #[must_use]
    pub fn with_kubelet(self, kubelet: Arc<dyn Kubelet>) -> Self {
        Self { kubelet: Some(kubelet), ..self }
    }

    /// Who knows how the node is, if somebody does.
    pub fn kubelet(&self) -> Option<&Arc<dyn Kubelet>> {
        self.kubelet.as_ref()
    }

    /// The same, with somebody who knows how pods have started.
    #[must_use]
    pub fn with_traces(self, traces: Arc<dyn Traces>) -> Self {
        Self { traces: Some(traces), ..self }
    }

    /// Who knows how pods have started, if somebody does.
    pub fn traces(&self) -> Option<&Arc<dyn Traces>> {
        self.traces.as_ref()
    }

    /// The objects.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The kind of a resource.
    pub fn kind(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<dyn Resource>> {
        self.kinds.iter().find(|kind| {
            let names = kind.names();
            (names.group, names.version, names.plural) == (group, version, plural)
        })
    }

    /// All kinds.
    pub fn kinds(&self) -> &[Arc<dyn Resource>] {
        &self.kinds
    }

    /// What a kind may need to know.
    pub fn context(&self) -> Context {
        Context { now: Timestamp::now(), node_name: self.node_name.clone() }
    }

    /// Does what is to be done when nobody asks, for as long as it is polled: brings to the disk what may be late, empties
    /// namespaces that are deleted, deletes what has no owner any more, and lets old events go.
    pub async fn run(self: Arc<Self>) {
        let flushing = Arc::clone(&self.store).keep_flushed();
        let expiring = expiry::expire_events(Arc::clone(&self));
        let emptying = emptying::empty_namespaces(Arc::clone(&self));
        tokio::join!(flushing, expiring, emptying, garbage::collect(self));
    }

    /// All of it as a service, for a server or for a client in this process.
    pub fn into_router(self: Arc<Self>) -> Router {
        let fixed = discovery::router(self.kinds.clone());
        let fixed = fixed.merge(custom_resources::router()).merge(metrics::routes::router());
        let count = middleware::from_fn_with_state(Arc::clone(&self), kubelet::requests::count);
        let fixed = fixed.merge(debug::router()).merge(kubelet::routes::router());
        fixed.fallback(serve).layer(count).with_state(self)
    }

    fn ensure_namespaces(&self) -> Result<(), Status> {
        let Some(kind) = self.kind("", "v1", "namespaces") else { return Ok(()) };
        for name in NAMESPACES {
            let key = Key::new("namespaces", "", name);
            if self.store.get(&key).is_none() {
                let mut namespace = Object::new("v1", "Namespace");
                namespace.set_meta("name", Some(name.into()));
                rest::complete(&**kind, &mut namespace, &self.context())?;
                let durability = rest::durability(&**kind, super::resource::Part::Whole);
                self.store.put(&key, namespace, Expected::Absent, durability).map_err(Status::internal)?;
            }
        }
        Ok(())
    }
}

pub(super) async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let format = Format::negotiate(request.headers());
    let answer = route(api, request, format).await.unwrap_or_else(Status::into_response);
    format.of(answer).await
}

async fn route(api: Arc<Api>, request: Request, format: Format) -> Result<Response, Status> {
    let target = Target::parse(request.uri().path()).ok_or_else(Status::no_such_path)?;
    if target.is_of(&rest::BINDINGS) {
        return bindings(api, target, request).await;
    }
    let kind = api.kind(&target.group, &target.version, &target.resource).cloned();
    let kind = kind.ok_or_else(Status::no_such_path)?;
    let names = kind.names();
    let wrong_place = match names.namespaced {
        true => target.namespace.is_empty() && !target.name.is_empty(),
        false => !target.namespace.is_empty(),
    };
    let subresource = names.subresource(&target.subresource);
    if wrong_place || (subresource.is_none() && !target.subresource.is_empty()) {
        return Err(Status::no_such_path());
    }
    let parameters = Parameters::of(request.uri())?;
    let verb = verb(request.method(), &target).ok_or_else(|| Status::method_not_allowed(Some(names)))?;
    let connect = api.connects.iter().find(|(plural, name, _)| {
        *plural == target.resource && *name == target.subresource && names.group.is_empty()
    });
    if let Some((_, _, connect)) = connect {
        let entry = rest::find(&api, &*kind, &target)?;
        return Ok(connect(Connection { object: entry.object(), target, parameters, request }).await);
    }
    if let Some(subresource) = subresource {
        if !subresource.verbs.contains(&verb) {
            return Err(Status::method_not_allowed(Some(names)));
        }
        // Not a part of the object but a connection, and there is nobody at its other end.
        if !subresource.verbs.contains(&"update") && !OF_OBJECTS.contains(&subresource.name) {
            let message = format!("nobody serves {}/{} here", names.plural, subresource.name);
            return Err(Status::unavailable(message));
        }
    }
    // An object that lives in a namespace is made in one.
    if verb == "create" && names.namespaced && target.namespace.is_empty() {
        return Err(Status::method_not_allowed(Some(names)));
    }
    let (parts, body) = request.into_parts();
    let call = Call { context: api.context(), api, kind, target, parameters, headers: parts.headers };
    match verb {
        "get" | "list" if call.parameters.flag("watch") && call.target.subresource.is_empty() => {
            // Nobody can tell where one document of YAML ends before the next begins.
            format.streams()?;
            rest::watch(call)
        }
        "get" => rest::get(&call),
        "list" => rest::list(&call),
        "create" if call.target.subresource.is_empty() => rest::create(&call, body).await,
        "create" if call.target.subresource == "binding" => rest::bind(&call, body).await,
        "create" => rest::evict(&call, body).await,
        "update" => rest::update(&call, body).await,
        "patch" => rest::patch(&call, body).await,
        "delete" => rest::delete(&call, body).await,
        "deletecollection" => rest::delete_collection(&call, body).await,
        _ => Err(Status::method_not_allowed(Some(call.kind.names()))),
    }
}

/// POST of a Binding that names its Pod itself.
async fn bindings(api: Arc<Api>, target: Target, request: Request) -> Result<Response, Status> {
    if !target.name.is_empty() {
        return Err(Status::no_such_path());
    }
    if request.method() != Method::POST || target.namespace.is_empty() {
        return Err(Status::method_not_allowed(Some(&rest::BINDINGS)));
    }
    let kind = api.kind("", "v1", "pods").cloned().ok_or_else(Status::no_such_path)?;
    let parameters = Parameters::of(request.uri())?;
    let (parts, body) = request.into_parts();
    let call = Call { context: api.context(), api, kind, target, parameters, headers: parts.headers };
    rest::bind(&call, body).await
}

/// What HTTP's method means for a path, in Kubernetes' words.
fn verb(method: &Method, target: &Target) -> Option<&'static str> {
    let is_object = !target.name.is_empty();
    let is_subresource = !target.subresource.is_empty();
    match (method.as_str(), is_object) {
        ("GET" | "HEAD", true) => Some("get"),
        ("GET" | "HEAD", false) => Some("list"),
        ("POST", _) if is_object == is_subresource => Some("create"),
        ("PUT", true) => Some("update"),
        ("PATCH", true) => Some("patch"),
        ("DELETE", true) => Some("delete"),
        ("DELETE", false) => Some("deletecollection"),
        _ => None,
    }
}
