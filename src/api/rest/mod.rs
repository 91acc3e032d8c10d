//! The verbs, one file each, generic over the kind.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::metadata;
use super::object::Object;
use super::represent::{Shape, json_response};
use super::request::{Parameters, Target};
use super::resource::{Context, Part, Resource};
use super::router::Api;
use super::status::{FieldError, Status};
use super::store::{Durability, Entry, Error, Key};

mod bind;
mod create;
mod decode;
mod delete;
mod delete_collection;
mod evict;
mod get;
mod list;
mod patch;
mod update;
mod watch;

#[cfg(test)]
mod tests;

pub(super) use bind::{BINDINGS, bind, scheduled};
pub(super) use create::{complete, create};
pub(super) use delete::{delete, delete_one, settle};
pub(super) use delete_collection::delete_collection;
pub(super) use evict::evict;
pub(super) use get::{find, get};
pub(super) use list::list;
pub(super) use patch::patch;
pub(super) use update::update;
pub(super) use watch::watch;

/// A request, once it is known which kind it is about.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) kind: Arc<dyn Resource>,
    pub(super) target: Target,
    pub(super) parameters: Parameters,
    pub(super) headers: HeaderMap,
    pub(super) context: Context,
}

impl Call {
    fn part(&self) -> Part<'_> {
        match self.target.subresource.as_str() {
            "" => Part::Whole,
            name => Part::Subresource(name),
        }
    }

    fn shape(&self) -> Result<Shape, Status> {
        Shape::negotiate(&self.headers, self.parameters.text("includeObject"))
    }

    /// Whether everything is to be done but the deed.
    fn dry_run(&self) -> Result<bool, Status> {
        let mut values = self.parameters.all("dryRun").filter(|value| !value.is_empty());
        match values.next() {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => {
                let error = FieldError::not_supported("dryRun", other, &["All"]);
                Err(Status::plain(422, "Invalid", format!("options.meta.k8s.io \"\" is invalid: {error}")))
            }
        }
    }

    /// The answer with one object.
    fn answer(&self, code: StatusCode, object: Object, warnings: &[String]) -> Result<Response, Status> {
        let value = self.shape()?.object(&*self.kind, object, self.context.now, true);
        let mut response = json_response(code, value.to_string());
        for warning in warnings {
            // As RFC 7234 has it: 299 is a warning that stays, and who warns is not told.
            let text = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        Ok(response)
    }
}

/// Where an object is kept.
pub(super) fn key(kind: &dyn Resource, namespace: &str, name: &str) -> Key {
    Key::new(&kind.stored_as().resource(), namespace, name)
}

/// An object of the store, as its kind shows it.
pub(super) fn object(kind: &dyn Resource, entry: &Entry) -> Object {
    kind.shown(entry.object())
}

/// How much a write of this part must survive.
pub(super) fn durability(kind: &dyn Resource, part: Part<'_>) -> Durability {
    if kind.is_desired(part) { Durability::PowerLoss } else { Durability::Soon }
}

/// Carries out a write, which waits for the disk, where waiting does no harm.
async fn write(
    api: &Arc<Api>,
    work: impl FnOnce(&Api) -> Result<Arc<Entry>, Error> + Send + 'static,
) -> Result<Result<Arc<Entry>, Error>, Status> {
    let api = Arc::clone(api);
    tokio::task::spawn_blocking(move || work(&api)).await.map_err(Status::internal)
}

/// A failure of the store that is nobody's mistake.
fn store_failure(error: Error) -> Status {
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    match error {
        Error::Full { .. } => Status::no_room(text),
        _ => Status::internal(text),
    }
}

/// Everything that is wrong with a new object.
fn validate(kind: &dyn Resource, object: &Object) -> Result<(), Status> {
    let mut errors = metadata::validate(kind, object);
    errors.extend(kind.validate(object));
    refuse(kind, object, &errors)
}

fn refuse(kind: &dyn Resource, object: &Object, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind.names(), object.name(), errors)) }
}
