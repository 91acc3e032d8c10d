//! Probes that ask more often than once a second, which the API has no field for: an annotation of our own.

use std::time::Duration;

use super::MAX_SECONDS;
use crate::pod::PROBE_PERIOD_ANNOTATION;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::ContainerSpec;

/// A program that is run more often than this does little else.
const SHORTEST_MILLIS: u64 = 10;

/// Gives the probes of `containers`, which are all of the pod, the periods of the annotation's `value`. `path` is that of
/// the annotations.
pub(super) fn apply<'a>(
    value: &str,
    containers: impl Iterator<Item = &'a mut ContainerSpec>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) {
    let path = path.key(PROBE_PERIOD_ANNOTATION);
    let mut containers: Vec<_> = containers.collect();
    for part in value.split(',').map(str::trim) {
        let (name, millis) = match part.split_once('=') {
            Some((name, millis)) => (Some(name.trim()), millis.trim()),
            None => (None, part),
        };
        let Some(period) = period(millis) else {
            let why =
                format!("must be milliseconds, at least {SHORTEST_MILLIS}, or CONTAINER=MILLISECONDS,...");
            document.invalid(&path, value, why);
            return;
        };
        let named =
            |container: &&mut &mut ContainerSpec| name.is_none_or(|name| container.name.as_str() == name);
        let mut found = false;
        for container in containers.iter_mut().filter(named) {
            let probes =
                [&mut container.startup_probe, &mut container.liveness_probe, &mut container.readiness_probe];
            probes.into_iter().flatten().for_each(|probe| probe.period = period);
            found = true;
        }
        if let Some(name) = name.filter(|_| !found) {
            document.not_found(&path, name);
        }
    }
}

fn period(millis: &str) -> Option<Duration> {
    let millis = millis.parse().ok().filter(|millis| *millis >= SHORTEST_MILLIS)?;
    Some(Duration::from_millis(millis).min(Duration::from_secs(MAX_SECONDS)))
}
