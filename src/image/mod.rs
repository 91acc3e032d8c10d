//! Images: references, the content store, unpacked layers.
