//! From a body to an object of the kind that the path names.

use axum::body::Body;
use serde_json::Value;

use super::super::body;
use super::super::object::Object;
use super::super::resource::Resource;
use super::super::status::Status;
use super::Call;

/// What becomes of fields that the kind does not have, and of those that are there twice.
///
/// Source: KEP-2885, `fieldValidation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Strict,
    Warn,
    Ignore,
}

/// The object of a body, and what the client is to be warned about.
pub(super) async fn decode(call: &Call, body: Body) -> Result<(Object, Vec<String>), Status> {
    let bytes = body::read(body).await?;
    let parsed = body::parse(&call.headers, &bytes)?;
    from_value(call, parsed.value, parsed.duplicates)
}

/// Likewise, of a value that is already there; `duplicates` are the paths that were twice in it.
pub(super) fn from_value(
    call: &Call,
    value: Value,
    duplicates: Vec<String>,
) -> Result<(Object, Vec<String>), Status> {
    let strictness = strictness(call)?;
    let names = call.kind.names();
    let api_version = names.api_version();
    let refuse = |why: String| {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            names.kind, names.version, names.kind
        ))
    };
    let mut object = Object::from_value(value).map_err(|error| refuse(error.to_string()))?;
    check_type(&object, &*call.kind)?;
    object.set_type(&api_version, names.kind);
    object.drop_nulls();
    let unknown = call.kind.decode(&mut object).map_err(refuse)?;
    // The kind may have written it anew.
    object.set_type(&api_version, names.kind);
    let problems: Vec<String> = unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .chain(duplicates.iter().map(|path| format!("duplicate field {path:?}")))
        .collect();
    if strictness == Strictness::Strict && !problems.is_empty() {
        return Err(refuse(format!("strict decoding error: {}", problems.join(", "))));
    }
    Ok((object, if strictness == Strictness::Warn { problems } else { Vec::new() }))
}

fn strictness(call: &Call) -> Result<Strictness, Status> {
    match call.parameters.text("fieldValidation") {
        "Strict" => Ok(Strictness::Strict),
        "" | "Warn" => Ok(Strictness::Warn),
        "Ignore" => Ok(Strictness::Ignore),
        other => Err(Status::plain(
            422,
            "Invalid",
            format!(
                "options.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: {other:?}: supported values: \
                 \"\", \"Ignore\", \"Strict\", \"Warn\""
            ),
        )),
    }
}

/// An object may leave out what it is, but not say that it is something else.
fn check_type(object: &Object, kind: &dyn Resource) -> Result<(), Status> {
    let names = kind.names();
    let (given, expected) = (object.api_version(), names.api_version());
    if !given.is_empty() && given != expected {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({expected})"
        )));
    }
    match object.kind() {
        "" => Ok(()),
        given if given == names.kind => Ok(()),
        given => Err(Status::bad_request(format!(
            "{given} in version {:?} cannot be handled as a {}: converting (v1.{given}) to (core.{}): unknown conversion",
            names.version, names.kind, names.kind
        ))),
    }
}
