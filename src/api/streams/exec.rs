//! `exec`: a program in a running container.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::remote_command::{Asked, exec_status};
use super::{PodStreams, container, remote_command};
use crate::api::object::Object;
use crate::api::request::Parameters;
use crate::api::status::Status;

/// Answers a request, and serves the connection that it becomes until the program or the client ends.
pub async fn serve(
    pod: &Object,
    parameters: &Parameters,
    request: Request,
    streams: Arc<dyn PodStreams>,
) -> Result<Response, Status> {
    let container = container::choose(pod, parameters.text("container"))?;
    remote_command::check_upgrade(&request)?;
    let asked = Asked::of(parameters)?;
    let command: Vec<String> = parameters.all("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err(Status::bad_request("you must specify at least one command for the container"));
    }
    let id = streams.running(&container).await?;
    Ok(remote_command::serve(request, asked, move |remote| async move {
        let result = streams.exec(container, id, command.clone(), remote).await;
        exec_status(&command, &result)
    }))
}
