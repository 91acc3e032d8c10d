//! Columns that the tables of most kinds have, and how the others are written down.

use crate::api::resource::Column;

/// The name, by which kubectl finds the object of a row.
pub(super) const NAME: Column = Column {
    name: "Name",
    r#type: "string",
    format: "name",
    description: "Name must be unique within a namespace.",
    priority: 0,
};

/// How old it is.
pub(super) const AGE: Column = text(
    "Age",
    "CreationTimestamp is a timestamp representing the server time when this object was created.",
);

/// A column of text that is always shown.
pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", description, priority: 0 }
}

/// A column of text that is shown with `-o wide`.
pub(super) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { priority: 1, ..text(name, description) }
}
