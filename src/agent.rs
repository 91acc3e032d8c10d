//! Composition root: builds the rooms, wires the channels, owns start order and shutdown.
