//! Converts the text of one file to facts, document by document, so that an invalid document affects no other one. This
//! module must not know files.
use k8s_openapi::api::{core::v1, discovery};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::convert::{self, Converted, DEFAULT_NAMESPACE, Invalid, ServiceClasses};
use crate::crd::{API_VERSION, AddressPool, Announcer, GROUP};

/// One object of a file.
#[derive(Debug)]
pub(super) struct Document {
    /// Kind and name; `None` if they could not be read.
    pub object: Option<String>,
    /// The converted object, or the problem and how to fix it.
    pub converted: Result<Converted, String>,
}

/// Format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Json,
}

/// One object as text, or as an item of a List.
enum Body<'a> {
    /// The text, and the number of lines before it.
    Yaml(&'a str, u64),
    Json(&'a str),
    Item(Value),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Name,
}

#[derive(Deserialize, Default)]
struct Name {
    #[serde(default)]
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Vec<Value>,
}

/// Reads every object of a file.
pub(super) fn documents(text: &str, format: Format, classes: &ServiceClasses) -> Vec<Document> {
    let text = text.trim_start_matches('\u{feff}');
    match format {
        Format::Json => document(&Body::Json(text), classes),
        Format::Yaml => split(text).iter().flat_map(|body| document(body, classes)).collect(),
    }
}

/// Returns every object of a YAML or JSON text, unconverted.
///
/// # Errors
/// Returns the problem of the first object that cannot be read.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return Ok(vec![Body::Json(text).read()?]);
    }
    let mut objects = Vec::new();
    for body in split(text) {
        objects.extend(body.read::<Option<Value>>()?);
    }
    Ok(objects)
}

/// Splits a text at the lines that begin with `---` (YAML 1.2.2 section 9.1.2), before anything is parsed.
fn split(text: &str) -> Vec<Body<'_>> {
    let mut bodies = Vec::new();
    let (mut start, mut at, mut before, mut line) = (0, 0, 0, 0);
    for one in text.split_inclusive('\n') {
        let marker = one.strip_prefix("---");
        let marks =
            marker.is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t']));
        // The text before the first marker may consist of directives, which belong to the document after it.
        let directives = text[start..at].trim_start().starts_with('%');
        if marks && at > start && !directives {
            bodies.push(Body::Yaml(&text[start..at], before));
            (start, before) = (at, line);
        }
        at += one.len();
        line += 1;
    }
    bodies.push(Body::Yaml(&text[start..], before));
    bodies
}

impl Body<'_> {
    /// Parses the object. The error message names line and column if the format provides them.
    fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        match self {
            Self::Yaml(text, before) => {
                let options = serde_saphyr::options! { with_snippet: false };
                serde_saphyr::from_str_with_options(text, options)
                    .map_err(|error| placed(&error, *before))
            }
            Self::Json(text) => {
                serde_json::from_str(text).map_err(|error| format!("{error}: correct it"))
            }
            Self::Item(value) => serde_json::from_value(value.clone())
                .map_err(|error| format!("{error}: correct it")),
        }
    }
}

/// Formats an error with its line in the file rather than in the document.
fn placed(error: &serde_saphyr::Error, before: u64) -> String {
    let text = error.to_string();
    let Some(place) = error.location() else { return format!("{text}: correct it") };
    let (line, column) = (place.line(), place.column());
    let what = text.replace(&format!(" at line {line}, column {column}"), "");
    format!("line {}, column {column}: {what}: correct it", line + before)
}

fn document(body: &Body<'_>, classes: &ServiceClasses) -> Vec<Document> {
    let header = match body.read::<Option<Header>>() {
        Ok(Some(header)) => header,
        Ok(None) => return Vec::new(),
        Err(message) => return vec![Document { object: None, converted: Err(message) }],
    };
    if header.kind.is_empty() || header.api_version.is_empty() {
        let message = "has no apiVersion or no kind: add both, or move the file out of this folder";
        return vec![Document { object: None, converted: Err(message.to_owned()) }];
    }
    if header.api_version == "v1" && header.kind == "List" {
        return match body.read::<List>() {
            Ok(list) => {
                let items = list.items.into_iter();
                items.flat_map(|item| document(&Body::Item(item), classes)).collect()
            }
            Err(message) => vec![Document { object: None, converted: Err(message) }],
        };
    }
    vec![Document { object: Some(header.title()), converted: header.convert(body, classes) }]
}

impl Header {
    fn title(&self) -> String {
        let name = &self.metadata.name;
        match (self.kind.as_str(), &self.metadata.namespace) {
            ("Node" | "Namespace" | "AddressPool" | "Announcer" | "NodeReport", _) => {
                format!("{} {name}", self.kind)
            }
            (kind, namespace) => {
                format!("{kind} {}/{name}", namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE))
            }
        }
    }

    fn convert(&self, body: &Body<'_>, classes: &ServiceClasses) -> Result<Converted, String> {
        let (group, _) = self.api_version.split_once('/').unwrap_or(("", ""));
        match (self.api_version.as_str(), self.kind.as_str()) {
            ("v1", "Service") => read(body, |object| convert::service(object, classes)),
            ("v1", "Node") => read(body, convert::node),
            ("v1", "Namespace") => read(body, convert::namespace),
            ("v1", "ConfigMap") => read::<v1::ConfigMap>(body, convert::config_map),
            ("discovery.k8s.io/v1", "EndpointSlice") => {
                read::<discovery::v1::EndpointSlice>(body, convert::endpoint_slice)
            }
            (API_VERSION, "AddressPool") => read::<AddressPool>(body, convert::address_pool),
            (API_VERSION, "Announcer") => read::<Announcer>(body, convert::announcer),
            (API_VERSION, "NodeReport") => Ok(Converted::default()),
            (API_VERSION, kind) => {
                Err(format!("there is no kind {kind} in {API_VERSION}: write AddressPool or Announcer"))
            }
            (other, _) if group == GROUP => {
                Err(format!("apiVersion {other} is not served: write {API_VERSION}"))
            }
            _ if group == "metallb.io" => Err(
                "MetalLB's custom resources are not read from a folder: run outrigger import metallb -f FILE to convert them".to_owned(),
            ),
            (api_version, kind) => {
                tracing::debug!(api_version, kind, name = self.metadata.name, "ignored: not a kind that is read");
                Ok(Converted::default())
            }
        }
    }
}

fn read<T: DeserializeOwned>(
    body: &Body<'_>,
    convert: impl FnOnce(&T) -> Result<Converted, Invalid>,
) -> Result<Converted, String> {
    convert(&body.read()?).map_err(|invalid| invalid.to_string())
}
