//! System calls that the crates we use do not wrap. The only room that may contain unsafe code.
#![allow(unsafe_code)]
