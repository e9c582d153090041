//! Reads objects from the text of a file, and writes objects as text. This module must not know what the objects are.
use serde_json::Value;

use super::Original;
use crate::folder;

/// Returns every object of a YAML or JSON text. `file` is its name, for messages.
///
/// # Errors
/// Returns the problem and its position. No object is returned if a part of the file cannot be read.
pub fn read(file: &str, text: &str) -> Result<Vec<Original>, String> {
    let objects = folder::objects(text).map_err(|error| format!("{file}: {error}"))?;
    Ok(read_values(file, objects))
}

/// Returns the given objects as [`read`] does, with lists split into their items.
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

/// Formats objects as YAML documents.
pub fn yaml(objects: &[Value]) -> String {
    let document = |object: &Value| {
        let text = serde_saphyr::to_string(object).expect("JSON can be written as YAML");
        format!("---\n{}\n", text.trim_end())
    };
    objects.iter().map(document).collect()
}
