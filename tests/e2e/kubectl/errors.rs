//! What cannot be done, in the words that kubectl's users know.

use serde_json::json;

use super::each;

#[test]
fn what_is_not_there_or_there_already_is_told() {
    each(|session| {
        session.create(&session.pod("web", &["term=0", "wait"]));
        for (line, expected) in [
            ("get pod nobody", "Error from server (NotFound): pods \"nobody\" not found\n"),
            ("describe pod nobody", "Error from server (NotFound): pods \"nobody\" not found\n"),
            ("delete pod nobody", "Error from server (NotFound): pods \"nobody\" not found\n"),
            ("label pod nobody a=b", "Error from server (NotFound): pods \"nobody\" not found\n"),
            ("patch pod nobody -p {}", "Error from server (NotFound): pods \"nobody\" not found\n"),
            ("-n nowhere get pod web", "Error from server (NotFound): namespaces \"nowhere\" not found\n"),
            ("-n nowhere delete pod web", "Error from server (NotFound): pods \"web\" not found\n"),
            ("get deployments", "error: the server doesn't have a resource type \"deployments\"\n"),
            ("delete deployments web", "error: the server doesn't have a resource type \"deployments\"\n"),
            ("rollout status pod/web", "error: no status viewer has been implemented for Pod\n"),
            (
                "get pods -o nothing",
                "error: unable to match a printer suitable for the output format \"nothing\"",
            ),
        ] {
            let refused = session.kubectl(line).refused();
            assert!(refused.starts_with(expected), "{line}: {refused}");
        }
        let again =
            session.kubectl_with(&["create", "-f", "-"], &session.pod("web", &["wait"]).to_json()).refused();
        let told =
            "Error from server (AlreadyExists): error when creating \"STDIN\": pods \"web\" already exists\n";
        assert_eq!(again, told);
        let several = session.kubectl("get pods web nobody --no-headers");
        assert!(several.out.starts_with("web ") && several.code == 1);
        assert_eq!(several.err, "Error from server (NotFound): pods \"nobody\" not found\n");
    });
}

#[test]
fn selectors_that_say_nothing_are_refused() {
    each(|session| {
        for (line, expected) in [
            ("get pods --field-selector=spec.nothing=1", "field label not supported: spec.nothing"),
            ("get pods -l !!", "unable to parse requirement"),
            ("get pods -l a==b==c", "found '==', expected: ',' or 'end of string'"),
        ] {
            let refused = session.kubectl(line).refused();
            assert!(refused.contains(expected), "{line}: {refused}");
        }
    });
}

#[test]
fn manifests_that_are_wrong_are_refused_with_every_cause() {
    each(|session| {
        let pod = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut pod = serde_json::from_str(&session.pod("web", &["wait"]).to_json()).unwrap();
            change(&mut pod);
            session.kubectl_with(&["create", "-f", "-"], &pod.to_string())
        };
        let refused = pod(&|pod| {
            pod["spec"]["restartPolicy"] = json!("Sometimes");
            pod["spec"]["containers"][0]["name"] = json!("Not_good");
        });
        let refused = refused.refused();
        assert!(refused.starts_with("The Pod \"web\" is invalid: \n"), "{refused}");
        for cause in [
            "* spec.containers[0].name: Invalid value: \"Not_good\": a lowercase RFC 1123 label must consist of",
            "* spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ] {
            assert!(refused.contains(cause), "{refused}");
        }
        let refused = pod(&|pod| pod["metadata"]["name"] = json!("Not good")).refused();
        assert!(refused.contains("metadata.name: Invalid value: \"Not good\""), "{refused}");
        // 1.20 leaves unknown fields to a schema that it does not get; the server warns.
        let typo = pod(&|pod| pod["spec"]["containers"][0]["imag"] = json!("typo"));
        let told = "unknown field \"spec.containers[0].imag\"";
        assert!(typo.err.contains(told), "{}{}", typo.out, typo.err);
        assert_eq!(typo.code, i32::from(session.client.is_newer()));

        let unknown = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
        let refused = session.kubectl_with(&["create", "-f", "-"], &unknown.to_string()).refused();
        assert!(refused.contains("no matches for kind \"Deployment\" in version \"apps/v1\""), "{refused}");
        let unknown = json!({"apiVersion": "v1", "kind": "Pot", "metadata": {"name": "web"}});
        let refused = session.kubectl_with(&["create", "-f", "-"], &unknown.to_string()).refused();
        assert!(refused.contains("no matches for kind \"Pot\" in version \"v1\""), "{refused}");
    });
}
