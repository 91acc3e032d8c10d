//! The verbs, asked by the client that the agent itself uses, and word by word where that client looks away.

mod fixture;
mod garbage;
mod namespaces;
mod objects;
mod patches;
mod watches;
mod words;
