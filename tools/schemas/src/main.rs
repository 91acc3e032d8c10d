//! Prints the schemas of the kinds that mkubelet serves, and of everything in them, as one JSON object by name.

use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Pod, Secret};
use k8s_openapi::api::events::v1 as events;
use schemars::generate::{SchemaGenerator, SchemaSettings};

/// A kind joins the document here.
const KINDS: [fn(&mut SchemaGenerator) -> schemars::Schema; 7] = [
    SchemaGenerator::subschema_for::<ConfigMap>,
    SchemaGenerator::subschema_for::<Event>,
    SchemaGenerator::subschema_for::<Namespace>,
    SchemaGenerator::subschema_for::<Node>,
    SchemaGenerator::subschema_for::<Pod>,
    SchemaGenerator::subschema_for::<Secret>,
    SchemaGenerator::subschema_for::<events::Event>,
];

fn main() {
    let mut generator = SchemaSettings::openapi3().into_generator();
    for add in KINDS {
        add(&mut generator);
    }
    println!("{}", serde_json::Value::Object(generator.take_definitions(true)));
}
