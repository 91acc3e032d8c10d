//! What a container may take of the node, and what happens when it wants more.

mod cpu;
mod devices;
mod groups;
mod memory;
