//! What a container may take of the node, and what happens when it wants more.

mod devices;
mod memory;
