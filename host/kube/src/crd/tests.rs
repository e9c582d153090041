//! The definitions on disk are the ones of the types.
use std::path::Path;

use super::*;

#[test]
fn definitions_on_disk_are_those_of_the_types() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/crds");
    if std::env::var_os("OUTRIGGER_CODEGEN").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        write_crds(&dir).unwrap();
    }
    for (file, yaml) in crds() {
        let on_disk = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        assert!(on_disk == yaml, "manifests/crds/{file} is old: run `cargo xtask codegen`");
    }
}

#[test]
fn definitions_are_structural() {
    for (file, yaml) in crds() {
        assert!(!yaml.contains("additionalProperties: false"), "{file}");
        assert!(!yaml.contains("format: uint"), "{file}");
        assert!(!yaml.contains("$ref"), "{file}");
        assert!(yaml.contains("scope: Cluster"), "{file}");
    }
}

#[test]
fn selectors_are_read_or_refused_with_the_fix() {
    use outrigger_core::facts::Selector;
    for (yaml, expected) in [
        ("{}", "matches"),
        ("{matchLabels: {app: web}}", "matches"),
        ("{matchLabels: {app: db}}", "does not match"),
        ("{matchExpressions: [{key: app, operator: In, values: [web, db]}]}", "matches"),
        ("{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}", "does not match"),
        ("{matchExpressions: [{key: tier, operator: DoesNotExist}]}", "matches"),
        (
            "{matchExpressions: [{key: app, operator: In}]}",
            "matchExpressions[0]: In needs at least one entry in values",
        ),
        (
            "{matchExpressions: [{key: app, operator: Exists, values: [web]}]}",
            "matchExpressions[0]: Exists takes no values: remove them",
        ),
    ] {
        let selector: LabelSelector = serde_saphyr::from_str(yaml).unwrap();
        let labels = [("app".to_owned(), "web".to_owned())].into();
        let got = match Selector::try_from(&selector) {
            Ok(selector) if selector.matches(&labels) => "matches".to_owned(),
            Ok(_) => "does not match".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "for {yaml}");
    }
}
