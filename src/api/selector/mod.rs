//! Which objects somebody wants to see: selectors over labels and over fields.

use super::object::Object;
use super::request::Parameters;
use super::resource::Resource;
use super::status::Status;

mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::LabelSelector;

/// Both selectors of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Over labels.
    pub labels: LabelSelector,
    /// Over fields.
    pub fields: FieldSelector,
}

impl Filter {
    /// As a request has them; fields that the kind does not have are refused.
    pub fn of(parameters: &Parameters, kind: &dyn Resource) -> Result<Self, Status> {
        let labels = parameters.text("labelSelector").parse().map_err(|error: labels::SyntaxError| {
            Status::bad_request(format!("unable to parse requirement: {error}"))
        })?;
        let fields: FieldSelector = parameters
            .text("fieldSelector")
            .parse()
            .map_err(|error: fields::SyntaxError| Status::bad_request(error.to_string()))?;
        fields.check(kind).map_err(Status::bad_request)?;
        Ok(Self { labels, fields })
    }

    /// The same, and only the object of this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.fields.require_name(name);
        self
    }

    /// Everything passes.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object passes.
    pub fn matches(&self, kind: &dyn Resource, object: &Object) -> bool {
        self.labels.matches(object) && self.fields.matches(kind, object)
    }
}
