//! ConfigMaps and Secrets of a manifest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Reading;
use crate::pod::path::Path;
use crate::pod::validate::objects::{self, Texts};
use crate::pod::yaml::Node;
use crate::pod::{defaults, typed};

/// A ConfigMap as it is written.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigMap {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Option<ObjectMeta>,
    data: Option<Texts>,
    binary_data: Option<Texts>,
    immutable: Option<bool>,
}

/// A Secret as it is written.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Secret {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Option<ObjectMeta>,
    data: Option<Texts>,
    string_data: Option<Texts>,
    #[serde(rename = "type")]
    kind: Option<String>,
    immutable: Option<bool>,
}

impl Reading<'_, '_, '_> {
    pub(in crate::pod) fn config_map(&mut self, node: &Node, path: &Path<'_>) {
        let written: ConfigMap = typed::read(Some(node), path, &mut self.document);
        let mut metadata = written.metadata.unwrap_or_default();
        defaults::apply_namespace(&mut metadata);
        self.check_unique("ConfigMap", &metadata, path);
        let (data, binary) = (written.data.unwrap_or_default(), written.binary_data.unwrap_or_default());
        let immutable = written.immutable == Some(true);
        let checked = objects::config_map(&metadata, &data, &binary, immutable, path, &mut self.document);
        self.manifest.objects.config_maps.extend(checked);
    }

    pub(in crate::pod) fn secret(&mut self, node: &Node, path: &Path<'_>) {
        let written: Secret = typed::read(Some(node), path, &mut self.document);
        let mut metadata = written.metadata.unwrap_or_default();
        defaults::apply_namespace(&mut metadata);
        self.check_unique("Secret", &metadata, path);
        let (data, texts) = (written.data.unwrap_or_default(), written.string_data.unwrap_or_default());
        let kind = (written.kind.as_deref().unwrap_or_default(), written.immutable == Some(true));
        let checked = objects::secret(&metadata, &data, &texts, kind, path, &mut self.document);
        self.manifest.objects.secrets.extend(checked);
    }
}
