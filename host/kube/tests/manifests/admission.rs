//! Compares `convert` with the golden table of the objects that the API server accepts: an object gets the same verdict
//! whether it is applied or put into a folder. `tests/apiserver` compares a real API server with the same table.
use outrigger_kube::convert;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{read, text};

/// Returns the error of `convert`, or `None` if it accepts the object.
fn verdict(case: &Value) -> Option<String> {
    fn try_it<T: DeserializeOwned>(
        object: Value,
        convert: fn(&T) -> Result<convert::Converted, convert::Invalid>,
    ) -> Option<String> {
        match serde_json::from_value(object) {
            Ok(object) => convert(&object).err().map(|invalid| invalid.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }
    let object = json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": case["kind"],
        "metadata": { "name": "x" },
        "spec": case["spec"],
    });
    match text(case, "/kind") {
        "AddressPool" => try_it(object, convert::address_pool),
        "Announcer" => try_it(object, convert::announcer),
        other => panic!("no kind {other}"),
    }
}

#[test]
fn a_folder_refuses_what_the_api_server_refuses_and_takes_what_it_takes() {
    let cases: Vec<Value> = serde_json::from_str(&read("tests/vectors/admission.json")).unwrap();
    assert!(cases.len() > 40, "{}", cases.len());
    for case in cases.iter().filter(|case| case["server_only"] != json!(true)) {
        let about = text(case, "/about");
        let verdict = verdict(case);
        let refused = case.get("refused").or(case.get("later"));
        assert_eq!(verdict.is_some(), refused.is_some(), "{about}: {verdict:?}");
        // For what the API server leaves to the condition, `convert` uses the words of the table.
        if let (Some(later), Some(verdict)) = (case["later"].as_str(), &verdict) {
            assert!(verdict.contains(later), "{about}: {verdict}");
        }
    }
}
