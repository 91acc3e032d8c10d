//! What a kind brings: its names, defaults, rules and columns. The handlers are generic over it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::object::Object;
use super::status::FieldError;

/// A kind of objects, without state of its own. No method does I/O or reads a clock.
///
/// The way of a write: body -> `decode` -> `default` -> `prepare_for_*` -> `validate` (or `validate_update`) -> store.
pub trait Resource: Send + Sync + 'static {
    /// What it is called, and what it can do.
    fn names(&self) -> &Names;

    /// The kind in whose form the store has the objects, when this one is another view of them.
    fn stored_as(&self) -> &Names {
        self.names()
    }

    /// An object of the store, as this kind shows it.
    fn shown(&self, object: Object) -> Object {
        object
    }

    /// An object of this kind, as the store has it.
    fn kept(&self, object: Object) -> Object {
        object
    }

    /// An Event that tells what the server itself has decided about a new object.
    fn announcement(&self, _object: &Object, _context: &Context) -> Option<Object> {
        None
    }

    /// Checks that the object fits the kind's type, or says in Go's words why it does not. Drops the fields that the type does not
    /// have and gives their paths, such as `spec.containers[0].nmae`. May write values another way, as the API server does when it
    /// decodes (a quantity that is a number becomes a string).
    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String>;

    /// Fills in the API server's defaults.
    fn default(&self, _object: &mut Object) {}

    /// Drops what a creator may not set (a status), and sets what the server knows (a phase).
    fn prepare_for_create(&self, _object: &mut Object, _context: &Context) {}

    /// Keeps what this write may not change: the status on a write of the object, all else on a write of a subresource.
    /// Metadata are kept in order by the handlers.
    fn prepare_for_update(&self, part: Part<'_>, new: &mut Object, old: &Object) {
        match part {
            Part::Whole => new.copy_from(old, "status"),
            Part::Subresource(_) => new.copy_from(old, "spec"),
        }
    }

    /// Everything that is wrong with a new object, besides its metadata.
    fn validate(&self, object: &Object) -> Vec<FieldError>;

    /// Everything that is wrong with a change, besides metadata.
    fn validate_update(&self, _part: Part<'_>, new: &Object, _old: &Object) -> Vec<FieldError> {
        self.validate(new)
    }

    /// Why a name cannot be one of this kind; `None` for a good one.
    fn name_problem(&self, name: &str) -> Option<String> {
        super::metadata::subdomain_problem(name)
    }

    /// How an object goes when somebody deletes it.
    fn deletion(&self, _object: &Object, _options: &DeleteOptions) -> Deletion {
        Deletion::Now
    }

    /// Why the object of this name may never be deleted, if that is so.
    fn deletion_forbidden(&self, _name: &str) -> Option<&'static str> {
        None
    }

    /// Changes what else shows that an object is going, beside its metadata.
    fn mark_going(&self, _object: &mut Object) {}

    /// Whether a delete is answered with the object that is gone, and not with a Status.
    fn answers_with_deleted(&self) -> bool {
        false
    }

    /// Whether a write of this part has to survive the loss of power before it is answered. What can be found out again (a status, an
    /// event) need not.
    fn is_desired(&self, part: Part<'_>) -> bool {
        !matches!(part, Part::Subresource("status"))
    }

    /// Whether the object now tells what nobody could find out again, so that even its status has to survive the loss of power.
    fn is_last_word(&self, _object: &Object) -> bool {
        false
    }

    /// The columns of the kind's table, as kubectl shows them.
    fn columns(&self) -> &'static [Column] {
        &NAME_AND_AGE
    }

    /// The cells of one object, one for each column.
    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        vec![object.name().into(), super::table::age(object.creation_timestamp(), now).into()]
    }

    /// Fields that a selector may name, beside `metadata.name` and `metadata.namespace`, with this object's values.
    fn fields(&self, _object: &Object) -> BTreeMap<&'static str, String> {
        BTreeMap::new()
    }
}

/// What a kind is called. All static text, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// `""` for the core group.
    pub group: &'static str,
    /// `v1`
    pub version: &'static str,
    /// `pods`: the name in paths.
    pub plural: &'static str,
    /// `pod`
    pub singular: &'static str,
    /// `Pod`
    pub kind: &'static str,
    /// `po`
    pub short_names: &'static [&'static str],
    /// `all`
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What stands behind an object's name in a path.
    pub subresources: &'static [Subresource],
}

/// A subresource, such as `pods/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subresource {
    /// `status`
    pub name: &'static str,
    /// The kind that is sent and got, when that is another one (`PodExecOptions`, `Eviction`), else `""`.
    pub kind: &'static str,
    /// The group and version of that kind, such as `policy/v1`, when they are others, else `""`.
    pub api_version: &'static str,
    /// What may be done with it, in discovery's words: `get`, `update`, `patch`, `create`.
    pub verbs: &'static [&'static str],
}

impl Subresource {
    /// `status`, as most kinds have it.
    pub const STATUS: Self =
        Self { name: "status", kind: "", api_version: "", verbs: &["get", "patch", "update"] };
}

impl Names {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `deployments.apps`: what messages call it, and where the store keeps it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

/// What a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// The object: everything but its status.
    Whole,
    /// A subresource, by its name.
    Subresource(&'a str),
}

/// What a kind may need to know beside the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The time of the request.
    pub now: Timestamp,
    /// The name of this node.
    pub node_name: String,
}

/// What somebody who deletes has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds; nothing leaves it to the kind. Never negative.
    pub grace_period_seconds: Option<i64>,
    /// Only the object with this UID.
    pub uid: Option<String>,
    /// Only this version of it.
    pub resource_version: Option<String>,
    /// Everything but the deed.
    pub dry_run: bool,
    /// What becomes of what the object owns; nothing is `Background`.
    pub propagation: Option<Propagation>,
}

/// What becomes of the objects that another one owns when that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

impl Propagation {
    /// As `DeleteOptions` has it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Background" => Some(Self::Background),
            "Foreground" => Some(Self::Foreground),
            "Orphan" => Some(Self::Orphan),
            _ => None,
        }
    }

    /// What holds the owner until its dependents are seen to.
    pub fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some("foregroundDeletion"),
            Self::Orphan => Some("orphan"),
        }
    }
}

/// How an object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// At once, unless finalizers keep it.
    Now,
    /// It is marked, and goes when whoever looks after it deletes it with no grace.
    Graceful {
        /// Its time until then.
        seconds: i64,
    },
}

/// A column of a table, in the words of `meta.k8s.io/v1` TableColumnDefinition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Column {
    /// What stands above it; kubectl writes it in capitals.
    pub name: &'static str,
    /// `string`, `integer`, ...
    pub r#type: &'static str,
    /// `name` for the name, else mostly `""`.
    pub format: &'static str,
    /// What it means.
    pub description: &'static str,
    /// 0 is always shown, higher ones with `-o wide`.
    pub priority: i32,
}

/// The table of a kind that says nothing of its own.
const NAME_AND_AGE: [Column; 2] = [
    Column {
        name: "Name",
        r#type: "string",
        format: "name",
        description: "Name must be unique within a namespace.",
        priority: 0,
    },
    Column {
        name: "Age",
        r#type: "string",
        format: "",
        description: "CreationTimestamp is a timestamp representing the server time when this object was created.",
        priority: 0,
    },
];
