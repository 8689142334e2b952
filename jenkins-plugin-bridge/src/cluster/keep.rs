//! Keeps the objects that hold images in step with what builds need.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use super::apply::MANAGER;
use super::connect::Cluster;
use super::error::ClusterError;
use super::images::{ImageSettings, Images, OWNED};

/// What was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Names of objects that are as they should be now.
    pub applied: Vec<String>,
    /// Names of objects that were removed.
    pub removed: Vec<String>,
}

impl Cluster {
    /// Objects of ours of the kind that the settings ask for.
    fn kept(&self, settings: &ImageSettings) -> Api<DynamicObject> {
        match settings {
            ImageSettings::ImageCache { .. } => {
                let kind = ApiResource {
                    group: "eci.alibabacloud.com".into(),
                    version: "v1".into(),
                    api_version: "eci.alibabacloud.com/v1".into(),
                    kind: "ImageCache".into(),
                    plural: "imagecaches".into(),
                };
                Api::all_with(self.client.clone(), &kind)
            }
            ImageSettings::Prepull { namespace, .. } => {
                let kind = ApiResource::erase::<DaemonSet>(&());
                Api::namespaced_with(self.client.clone(), namespace, &kind)
            }
        }
    }

    /// Makes the objects in the cluster those that these images need, and removes others of ours.
    ///
    /// # Errors
    /// The first thing that the API server refuses.
    pub async fn keep_images(
        &self,
        settings: &ImageSettings,
        images: &Images,
        agent: &str,
    ) -> Result<Kept, ClusterError> {
        let api = self.kept(settings);
        let parameters = PatchParams::apply(MANAGER).force();
        let mut kept = Kept::default();
        for object in settings.objects(images, agent) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let done = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
            done.map_err(|error| ClusterError::of("keep images", error))?;
            kept.applied.push(name);
        }
        for object in self.listed(&api).await? {
            let name = object.name_any();
            if kept.applied.contains(&name) {
                continue;
            }
            match api.delete(&name, &DeleteParams::default()).await {
                Ok(_) => kept.removed.push(name),
                Err(error) => match ClusterError::of("remove what keeps images", error) {
                    error if error.is_missing() => {}
                    error => return Err(error),
                },
            }
        }
        Ok(kept)
    }

    /// How each image that is kept stands, in the words of the cluster.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn images(
        &self,
        settings: &ImageSettings,
    ) -> Result<BTreeMap<String, String>, ClusterError> {
        let mut all = BTreeMap::new();
        for object in self.listed(&self.kept(settings)).await? {
            let (images, state) = standing(&object.data);
            all.extend(images.into_iter().map(|image| (image, state.clone())));
        }
        Ok(all)
    }

    async fn listed(&self, api: &Api<DynamicObject>) -> Result<Vec<DynamicObject>, ClusterError> {
        let parameters = ListParams::default().labels(&format!("{}={}", OWNED.0, OWNED.1));
        let list = api.list(&parameters).await;
        list.map(|list| list.items)
            .map_err(|error| ClusterError::of("list what keeps images", error))
    }
}

/// The images of an object, and how it stands.
fn standing(object: &Value) -> (Vec<String>, String) {
    let texts = |all: &Value, key: Option<&str>| {
        let all = all.as_array().into_iter().flatten();
        let text = |one: &Value| key.map_or(one, |key| &one[key]).as_str().map(str::to_owned);
        all.filter_map(text).collect::<Vec<String>>()
    };
    let status = &object["status"];
    if object["spec"]["images"].is_array() {
        let phase = status["phase"].as_str().unwrap_or("Pending");
        return (texts(&object["spec"]["images"], None), phase.to_owned());
    }
    let count = |name: &str| status[name].as_u64().unwrap_or(0);
    let state = format!("{} of {} nodes", count("numberReady"), count("desiredNumberScheduled"));
    (texts(&object["spec"]["template"]["spec"]["initContainers"], Some("image")), state)
}
