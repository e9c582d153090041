//! The text of a file to objects, and objects to text. Must not know what they are.
use serde_json::Value;

use super::Original;
use crate::folder;

/// Every object of a text, YAML or JSON; `file` is its name, for messages.
///
/// # Errors
/// What is wrong where: nothing is made of half a file.
pub fn read(file: &str, text: &str) -> Result<Vec<Original>, String> {
    let objects = folder::objects(text).map_err(|error| format!("{file}: {error}"))?;
    Ok(read_values(file, objects))
}

/// The same of objects; lists are taken apart.
pub fn read_values(file: &str, objects: Vec<Value>) -> Vec<Original> {
    let mut originals = Vec::new();
    for object in objects {
        let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match object["items"].as_array().filter(|_| is_list) {
            Some(items) => originals.extend(read_values(file, items.clone())),
            None => originals.push(Original { file: file.to_owned(), object }),
        }
    }
    originals
}

/// Objects as YAML documents.
pub fn yaml(objects: &[Value]) -> String {
    let document = |object: &Value| {
        let text = serde_saphyr::to_string(object).expect("JSON can be written as YAML");
        format!("---\n{}\n", text.trim_end())
    };
    objects.iter().map(document).collect()
}
