//! Where desired pods come from. A source says which pods should exist; it never touches a container.
