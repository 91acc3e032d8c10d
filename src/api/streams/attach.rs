//! `attach`: what a running container's first process reads and writes.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::remote_command::{Asked, attach_status};
use super::{PodStreams, container, remote_command};
use crate::api::object::Object;
use crate::api::request::Parameters;
use crate::api::status::Status;

/// Answers a request, and serves the connection that it becomes until the container or the client ends.
pub async fn serve(
    pod: &Object,
    parameters: &Parameters,
    request: Request,
    streams: Arc<dyn PodStreams>,
) -> Result<Response, Status> {
    let container = container::choose(pod, parameters.text("container"))?;
    remote_command::check_upgrade(&request)?;
    let asked = Asked::of(parameters)?;
    let id = streams.running(&container).await?;
    Ok(remote_command::serve(request, asked, move |remote| async move {
        attach_status(&streams.attach(container, id, remote).await)
    }))
}
