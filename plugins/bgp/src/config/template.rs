//! Values that may differ from node to node: literal, or text in which `{key}` is replaced by the host's data about the
//! node: `{node}`, `{node-ip}`, `{default-gateway}`, `{label/KEY}`, `{annotation/KEY}`.
use serde::Deserialize;

use super::read::Fields;

/// A value that is either literal or looked up on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    /// A literal value.
    Here(T),
    /// Text with `{key}` in it.
    ByNode(Template<T>),
}

/// Text with `{key}` in it, and the parser of the result.
#[derive(Debug, Clone)]
pub struct Template<T> {
    text: String,
    parse: fn(&str) -> Result<T, String>,
}

/// Reason why a template has no value on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The node has no data for this key.
    Key(String),
    /// The resulting text is invalid, for this reason.
    Wrong(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
    Other(serde_json::Value),
}

impl<T> PartialEq for Template<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Template<T> {}

impl<T: Clone> Given<T> {
    /// Parses a literal value, or text with `{key}` in it.
    pub(super) fn parse(text: &str, parse: fn(&str) -> Result<T, String>) -> Result<Self, String> {
        if !text.contains('{') {
            return parse(text).map(Self::Here);
        }
        if parts(text).is_none() {
            return Err(format!("{text:?} has a {{ without a matching }}"));
        }
        Ok(Self::ByNode(Template { text: text.to_owned(), parse }))
    }

    pub(super) fn optional(
        fields: &mut Fields<'_>,
        field: &'static str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<Self> {
        let text = match fields.optional(field)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
            Written::Other(other) => {
                fields.wrong(field, format!("{other} is neither text nor a number"));
                return None;
            }
        };
        Self::parse(&text, parse).map_err(|message| fields.wrong(field, message)).ok()
    }

    pub(super) fn required(
        fields: &mut Fields<'_>,
        field: &'static str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<Self> {
        let given = Self::optional(fields, field, parse);
        if given.is_none() && !fields.is_wrong(field) {
            fields.wrong(field, "is required");
        }
        given
    }

    /// Returns the value on a node; `node` looks up the node's data by key.
    ///
    /// # Errors
    /// Returns [`Missing`] if a key is unknown or the resulting text is invalid.
    pub fn on<'a>(&self, node: impl Fn(&str) -> Option<&'a str>) -> Result<T, Missing> {
        let template = match self {
            Self::Here(value) => return Ok(value.clone()),
            Self::ByNode(template) => template,
        };
        let mut text = String::new();
        for (key, plain) in parts(&template.text).unwrap_or_default() {
            if let Some(key) = key {
                text.push_str(node(key).ok_or_else(|| Missing::Key(key.to_owned()))?);
            }
            text.push_str(plain);
        }
        (template.parse)(&text).map_err(Missing::Wrong)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => match key.split_once('/') {
                Some((kind @ ("label" | "annotation"), name)) => {
                    write!(f, "this node has no {kind} {name}")
                }
                _ => write!(f, "this node has no {key}"),
            },
            Self::Wrong(message) => f.write_str(message),
        }
    }
}

/// Splits a template into plain text, each part with the key before it; `None` if a brace is never closed.
fn parts(text: &str) -> Option<Vec<(Option<&str>, &str)>> {
    let mut pieces = text.split('{');
    let mut parts = vec![(None, pieces.next().unwrap_or_default())];
    for piece in pieces {
        let (key, plain) = piece.split_once('}')?;
        parts.push((Some(key), plain));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_braces_are_looked_up_on_the_node() {
        let number =
            |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is not a number"));
        let node = |key: &str| match key {
            "label/a.example/asn" => Some("4200000001"),
            "rack" => Some("7"),
            _ => None,
        };
        let read = |text: &str| Given::parse(text, number).map(|given| given.on(node));
        assert_eq!(read("64512"), Ok(Ok(64512)));
        assert_eq!(read("{label/a.example/asn}"), Ok(Ok(4_200_000_001)));
        assert_eq!(read("6451{rack}"), Ok(Ok(64517)));
        assert_eq!(read("{rack}x"), Ok(Err(Missing::Wrong("\"7x\" is not a number".into()))));
        let missing = read("{annotation/x}").unwrap().unwrap_err();
        assert_eq!(missing.to_string(), "this node has no annotation x");
        assert!(read("{rack").is_err() && read("x").is_err());
    }
}
