//! SPDY/3.1, as Kubernetes' clients speak it: several streams over one connection, each both ways.
//!
//! kubectl up to 1.30 runs remote commands over it, and every kubectl forwards ports over it, newer ones inside a WebSocket. The
//! other end is always `moby/spdystream`, so this is that end's counterpart: no window limits what is sent (spdystream neither
//! counts nor grants any), and a stream that nobody reads holds up the session.
//!
//! `frame` is bytes to frames, `headers` the compressed part of them, `session` the two tasks that read and write a
//! connection, `stream` one stream of it.

#[cfg(test)]
pub(crate) mod client;
mod dictionary;
pub(crate) mod frame;
mod headers;
mod session;
mod stream;

pub use headers::Headers;
pub use session::{Incoming, Limits, Session};
pub use stream::Stream;
