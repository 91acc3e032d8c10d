//! `mkubelet agent`: the pods of a directory, and what becomes of them while agents come and go.

mod churn;
mod client;
mod configuration;
mod directory;
mod eviction;
mod sources;
mod survival;
mod verbs;
