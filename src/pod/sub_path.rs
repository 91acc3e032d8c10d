//! Which part of a volume a mount shows: `subPath`, or `subPathExpr` expanded from the container's environment. Pure.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::env::{self, Variables};
use super::spec::{SubPath, VolumeMount};

/// Why a mount shows nothing. In the kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Variables that are not set, or are empty.
    #[error("missing value for {0}")]
    Missing(String),
    /// What the variables come to.
    #[error("error SubPath `{0}` must not be an absolute path")]
    Absolute(String),
    /// Likewise.
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    Backsteps(String),
}

/// The path below the volume's root; `None` is the root itself. `env` is the environment that the manifest gives.
pub fn of(mount: &VolumeMount, env: &Variables) -> Result<Option<String>, Invalid> {
    let path = match &mount.sub_path {
        None => return Ok(None),
        Some(SubPath::Plain(path)) => path.clone(),
        Some(SubPath::Expr(expr)) => expand(expr, env)?,
    };
    if path.starts_with('/') {
        return Err(Invalid::Absolute(path));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Invalid::Backsteps(path));
    }
    Ok(Some(path).filter(|path| !path.is_empty()))
}

fn expand(expr: &str, env: &Variables) -> Result<String, Invalid> {
    let missing = RefCell::new(BTreeSet::new());
    let value = |name: &str| {
        let found = env.get(name).filter(|value| !value.is_empty());
        if found.is_none() {
            missing.borrow_mut().insert(name.to_owned());
        }
        found.map(str::to_owned)
    };
    let expanded = env::expand(expr, &value);
    let missing = missing.into_inner();
    if missing.is_empty() {
        return Ok(expanded);
    }
    Err(Invalid::Missing(missing.into_iter().collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::tests::volume_mount;

    #[test]
    fn sub_paths_are_expanded_and_stay_below() {
        let env = [("NAME", "web-0"), ("ROOT", "/"), ("UP", ".."), ("EMPTY", "")];
        let mut variables = Variables::default();
        env.into_iter().for_each(|(name, value)| variables.set(name, value));
        let plain = |path: &str| Some(SubPath::Plain(path.to_owned()));
        let expr = |path: &str| Some(SubPath::Expr(path.to_owned()));
        for (sub_path, expected) in [
            (None, Ok(None)),
            (plain("a/b"), Ok(Some("a/b"))),
            (plain("$(NAME)"), Ok(Some("$(NAME)"))),
            (expr("logs/$(NAME)"), Ok(Some("logs/web-0"))),
            (expr("$$(NAME)"), Ok(Some("$(NAME)"))),
            (expr("$(ROOT)etc"), Err("error SubPath `/etc` must not be an absolute path")),
            (expr("a/$(UP)/b"), Err("unable to provision SubPath `a/../b`: must not contain '..'")),
            (expr("$(Z)$(EMPTY)$(A)"), Err("missing value for A, EMPTY, Z")),
        ] {
            let mount = VolumeMount { sub_path: sub_path.clone(), ..volume_mount("v", "/v", false) };
            let found = of(&mount, &variables).map_err(|error| error.to_string());
            let expected = expected.map(|path| path.map(str::to_owned)).map_err(str::to_owned);
            assert_eq!(found, expected, "{sub_path:?}");
        }
    }
}
