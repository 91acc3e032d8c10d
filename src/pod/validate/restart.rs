//! `restartPolicy` and `restartPolicyRules` of a container (KEP-753, KEP-5307, KEP-5532).

use k8s_openapi::api::core::v1 as k8s;

use super::one_of;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{ExitCodes, RestartAction, RestartPolicy, RestartRule};

/// In the order in which the API server names them.
const POLICIES: [(&str, RestartPolicy); 3] = [
    ("Always", RestartPolicy::Always),
    ("Never", RestartPolicy::Never),
    ("OnFailure", RestartPolicy::OnFailure),
];

const ACTIONS: [(&str, RestartAction); 2] =
    [("Restart", RestartAction::Restart), ("RestartAllContainers", RestartAction::RestartAllContainers)];

const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// The policy and the rules of the container at `path`, of whatever kind it is.
pub(super) fn check(
    container: &k8s::Container,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> (Option<RestartPolicy>, Vec<RestartRule>) {
    let policy_path = path.field("restartPolicy");
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    let policy = match container.restart_policy.as_deref() {
        Some(policy) => one_of(policy, &POLICIES, &policy_path, document),
        None => {
            if !rules.is_empty() {
                document.required_for(&policy_path, "must specify restartPolicy when restart rules are used");
            }
            None
        }
    };
    let rules_path = path.field("restartPolicyRules");
    if rules.len() > MAX_RULES {
        document.too_many(&rules_path, rules.len(), MAX_RULES);
    }
    let rules = rules.iter().enumerate();
    (policy, rules.filter_map(|(index, rule)| check_rule(rule, &rules_path.index(index), document)).collect())
}

fn check_rule(
    rule: &k8s::ContainerRestartRule,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<RestartRule> {
    let action = one_of(&rule.action, &ACTIONS, &path.field("action"), document);
    let path = path.field("exitCodes");
    let Some(exit_codes) = &rule.exit_codes else {
        document.required_for(&path, "must be specified");
        return None;
    };
    let values = exit_codes.values.clone().unwrap_or_default();
    if values.len() > MAX_EXIT_CODES {
        document.too_many(&path.field("values"), values.len(), MAX_EXIT_CODES);
    }
    let is_in =
        one_of(&exit_codes.operator, &[("In", true), ("NotIn", false)], &path.field("operator"), document)?;
    let exit_codes = if is_in { ExitCodes::In(values) } else { ExitCodes::NotIn(values) };
    Some(RestartRule { action: action?, exit_codes })
}
