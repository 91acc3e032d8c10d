//! `mkubelet agent`: the pods of a directory, and what becomes of them while agents come and go.

mod directory;
mod survival;
