//! The streams of pods among the API's paths.

use std::sync::Arc;

use axum::http::Method;
use axum::response::IntoResponse;
use futures::FutureExt;

use super::container::pod_ref;
use super::{PodStreams, attach, exec, log, port_forward};
use crate::api::router::{Api, Connection};
use crate::api::status::Status;

/// The API with `pods/exec`, `attach`, `portforward` and `log`, as `streams` carries them out.
#[must_use]
pub fn install(api: Api, streams: &Arc<dyn PodStreams>) -> Api {
    ["exec", "attach", "portforward", "log"].into_iter().fold(api, |api, subresource| {
        let streams = Arc::clone(streams);
        let connect = move |connection: Connection| {
            let streams = Arc::clone(&streams);
            async move {
                let Connection { object, parameters, request, .. } = connection;
                let answer = match subresource {
                    "exec" => exec::serve(&object, &parameters, request, streams).await,
                    "attach" => attach::serve(&object, &parameters, request, streams).await,
                    "portforward" => Ok(port_forward::serve(request, pod_ref(&object), streams).await),
                    // One that is only read.
                    _ if request.method() == Method::GET => log::serve(&object, &parameters, streams).await,
                    _ => Err(Status::method_not_allowed(None)),
                };
                answer.unwrap_or_else(Status::into_response)
            }
            .boxed()
        };
        api.with_connect("pods", subresource, Arc::new(connect))
    })
}
