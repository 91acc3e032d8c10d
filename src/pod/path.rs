//! The path of a field, as Kubernetes writes it: `spec.containers[0].resources.limits[cpu]`.

use std::fmt;

/// A path, as a chain of borrowed steps: going down costs nothing, and it becomes text only when there is a problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// The document itself.
    Root,
    /// A field of an object.
    Field(&'a str),
    /// A key of a map, whose keys are the person's own.
    Key(&'a str),
    /// An element of a list, from 0.
    Index(usize),
}

impl Path<'static> {
    /// The document itself.
    pub(super) const ROOT: Self = Self { parent: None, step: Step::Root };
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Field(name) }
    }

    pub(super) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub(super) fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    pub(super) fn parent(&self) -> Option<&'a Path<'a>> {
        self.parent
    }

    pub(super) fn step(&self) -> Step<'a> {
        self.step
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let first = self.parent.is_none_or(|parent| matches!(parent.step, Step::Root));
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if first => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Key(key) => write!(f, "[{key}]"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}
