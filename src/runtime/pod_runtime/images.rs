//! The images of one pod: which its containers may be started from, and which are its volumes.

use std::collections::HashMap;
use std::sync::Arc;

use super::{PodRuntime, blocking};
use crate::image::{self, Access, Image};
use crate::pod::ContainerName;
use crate::pod::spec::{PullPolicy, VolumeSource};
use crate::runtime::pull::{self, PullSecrets};
use crate::runtime::{Error, NotStarted, Refusal};

impl PodRuntime {
    /// Looks images up while the sandbox is being made. One that is not there is told of when its container starts.
    pub(super) async fn look_images_up(&self) -> Result<(), Error> {
        let (pod, host) = (Arc::clone(&self.pod), Arc::clone(&self.host));
        let found = blocking(move || {
            let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
            let mut found: HashMap<String, Image> = HashMap::new();
            for spec in containers {
                if !found.contains_key(&spec.image)
                    && let Ok(image) = host.images.resolve(&spec.image)
                {
                    found.insert(spec.image.clone(), image);
                }
            }
            found
        });
        self.memory().images = found.await?;
        Ok(())
    }

    pub(super) async fn look_up(&self, image: &str) -> Result<Result<Image, image::Error>, Error> {
        let (host, image) = (Arc::clone(&self.host), image.to_owned());
        blocking(move || host.images.resolve(&image)).await
    }

    /// The image of that name, if a container may be started from it as it is.
    pub(super) async fn image_named(&self, name: &str, policy: PullPolicy) -> Result<Image, NotStarted> {
        let resolved = self.look_up(name).await;
        let resolved = resolved.map_err(|error| Refusal { reason: "ImageInspectError", message: error.0 })?;
        self.admit(resolved, name, policy)
    }

    /// Whether this is what the next container may be started from.
    pub(super) fn admit(
        &self,
        found: Result<Image, image::Error>,
        name: &str,
        policy: PullPolicy,
    ) -> Result<Image, NotStarted> {
        let may_use = |image: &Image| match &image.access {
            Some(Access::Holders(holders)) => {
                self.host.puller.has_any(name, &self.pull_secrets().keyring, holders)
            }
            None | Some(Access::Everyone) => true,
        };
        pull::admit(found, name, policy, may_use)
    }

    /// Sees to it that the images are there that are volumes of the pod.
    pub(super) async fn find_volume_images(&self, container: &ContainerName) -> Result<(), NotStarted> {
        let pod = self.pod();
        for volume in &pod.spec.volumes {
            let VolumeSource::Image { reference, pull_policy } = &volume.source else { continue };
            if self.memory().volume_images.contains_key(reference) {
                continue;
            }
            let pulled = self.memory().pulled.get(&(container.clone(), reference.clone())).cloned();
            let image = match pulled {
                Some(image) => image,
                None => self.image_named(reference, *pull_policy).await?,
            };
            self.memory().volume_images.insert(reference.clone(), image);
        }
        Ok(())
    }

    /// The image that is a volume, whose containers' start has seen to it.
    pub(in crate::runtime) async fn volume_image(&self, reference: &str) -> Result<Image, Refusal> {
        let known = self.memory().volume_images.get(reference).cloned();
        let refused = |message: String| Refusal { reason: "ImageInspectError", message };
        match known {
            Some(image) => Ok(image),
            None => match self.look_up(reference).await.map_err(|error| refused(error.0))? {
                Ok(image) => Ok(image),
                Err(error) => Err(refused(Error::chain(&error).0)),
            },
        }
    }

    /// What the pod's Secrets say of registries.
    pub(super) fn pull_secrets(&self) -> PullSecrets {
        PullSecrets::of(&self.pod(), &self.objects.borrow(), &self.notices)
    }
}
