//! The Kubernetes API of what this node owns. It knows Kubernetes types and HTTP, and never a shim, a cgroup or a container.
//!
//! A kind is a [`resource::Resource`]: names, defaults, rules, columns. What is done with objects is written once, generic over it.

pub mod auth;
pub mod body;
mod counted;
mod custom_resources;
pub mod debug;
pub mod discovery;
mod emptying;
mod expiry;
mod garbage;
pub mod kinds;
pub mod kubelet;
pub mod metadata;
pub mod metrics;
pub mod object;
pub mod openapi;
pub mod patch;
pub mod pki;
mod places;
pub mod represent;
pub mod request;
pub mod resource;
pub mod rest;
pub mod router;
pub mod selector;
pub mod server;
pub mod spdy;
pub mod status;
pub mod store;
pub mod streams;
pub mod table;
pub mod tls;
pub mod yaml;

pub use router::Api;
