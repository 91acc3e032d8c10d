//! PATCH: an object with some things changed.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::body;
use super::super::patch::Patch;
use super::super::status::Status;
use super::update::{change, check_place};
use super::{Call, decode};

/// Changes an object, or a part of it, and answers with what it is then.
pub(in crate::api) async fn patch(call: &Call, body: Body) -> Result<Response, Status> {
    let dry_run = call.dry_run()?;
    let patch = Patch::read(&call.headers, &body::read(body).await?)?;
    let mut warnings = Vec::new();
    // A patch is about whatever version there is, unless it changes the version itself, and then it does not fit another.
    let changed = change(call, dry_run, false, |old| {
        let value = patch.apply(old.clone().into_value())?;
        let (new, warned) = decode::from_value(call, value, Vec::new())?;
        check_place(call, &new)?;
        warnings = warned;
        Ok(new)
    });
    let changed = changed.await?;
    call.answer(StatusCode::OK, changed, &warnings)
}
