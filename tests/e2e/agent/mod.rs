//! `mkubelet agent`: the pods of a directory, and what becomes of them while agents come and go.

mod churn;
mod client;
mod completion;
mod configuration;
mod connections;
mod copies;
mod damage;
mod directory;
mod eviction;
mod older_shim;
mod operation;
mod phases;
mod room;
mod shutdown;
mod sources;
mod survival;
mod trace;
mod verbs;
