//! Tests of the generated definitions and of the resource types.
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

fn definition(file: &str) -> Value {
    let all = crds();
    let (_, yaml) = all.iter().find(|(name, _)| *name == file).unwrap();
    serde_saphyr::from_str(yaml).unwrap()
}

fn schema<'a>(definition: &'a Value, path: &str) -> &'a Value {
    let root = "/spec/versions/0/schema/openAPIV3Schema/properties";
    definition.pointer(&format!("{root}{path}")).unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn what_a_rule_walks_through_has_a_limit() {
    // The API server refuses a definition whose rules could cost too much; it estimates from limits.
    fn walk(value: &Value, path: &str) {
        match value {
            Value::Object(object) => {
                let has_rules = value.to_string().contains("x-kubernetes-validations");
                if has_rules && object.get("type") == Some(&"array".into()) {
                    assert!(object.contains_key("maxItems"), "{path} has no maxItems");
                }
                if object.contains_key("x-kubernetes-validations")
                    && object.get("type") == Some(&"string".into())
                {
                    assert!(object.contains_key("maxLength"), "{path} has no maxLength");
                }
                object.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}")));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, path)),
            _ => {}
        }
    }
    for (file, _) in crds() {
        walk(&definition(file)["spec"]["versions"], file);
    }
}

#[test]
fn every_rule_has_a_message() {
    fn walk(value: &Value) -> usize {
        let Some(object) = value.as_object() else {
            return value.as_array().map_or(0, |list| list.iter().map(walk).sum());
        };
        let rules = object.get("x-kubernetes-validations").and_then(Value::as_array);
        let here = rules.map_or(0, |rules| {
            assert!(
                rules.iter().all(|rule| rule["message"].as_str().is_some_and(|m| m.len() > 10))
            );
            rules.len()
        });
        here + object.values().map(walk).sum::<usize>()
    }
    let counts: Vec<_> = crds().iter().map(|(file, _)| (*file, walk(&definition(file)))).collect();
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

#[test]
fn every_kind_has_a_status_columns_and_a_category() {
    for (file, _) in crds() {
        let definition = definition(file);
        let version = &definition["spec"]["versions"][0];
        assert!(version["subresources"]["status"].is_object(), "{file}");
        let columns = version["additionalPrinterColumns"].as_array().unwrap();
        assert!(columns.iter().any(|column| column["type"] == "date"), "{file}: no age");
        assert_eq!(definition["spec"]["names"]["categories"], serde_json::json!(["outrigger"]));
        assert!(definition["spec"]["names"]["shortNames"].is_array(), "{file}");
    }
}

#[test]
fn conditions_are_merged_by_type() {
    for file in ["addresspools.yaml", "announcers.yaml", "plugins.yaml"] {
        let definition = definition(file);
        let conditions = schema(&definition, "/status/properties/conditions");
        assert_eq!(conditions["x-kubernetes-list-type"], "map");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
    }
}

#[test]
fn the_last_valid_spec_is_stored_whatever_rules_came_later() {
    let definition = definition("addresspools.yaml");
    let copy = schema(&definition, "/status/properties/lastValid");
    assert!(!copy.to_string().contains("x-kubernetes-validations"));
    assert_eq!(copy["x-kubernetes-map-type"], "atomic");
    let spec = schema(&definition, "/spec");
    let fields = |schema: &Value| -> Vec<String> {
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(fields(copy), fields(spec));
}

#[test]
fn a_status_is_written_in_camel_case_and_read_back() {
    let yaml = "
observedGeneration: 2
conditions:
- type: Ready
  status: 'False'
  reason: Draining
  message: three Services hold addresses of it
  observedGeneration: 2
  lastTransitionTime: '2026-01-02T03:04:05Z'
lastValid:
  addresses: [192.0.2.0/28]
  autoAssign: true
  avoidBuggyIPs: false
  priority: 0
  allocator: {plugin: lowest-free, failurePolicy: Wait}
ipv4: {capacity: 16, allocated: 3, free: 13}
ipv6: {capacity: '18446744073709551616', allocated: 1, free: '18446744073709551615'}
";
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    let status: AddressPoolStatus = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(status.conditions[0].kind, READY);
    assert_eq!(status.conditions[0].status, ConditionStatus::False);
    assert_eq!(serde_json::to_value(&status).unwrap(), value);
}
