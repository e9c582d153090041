//! Converts a Namespace to a fact. This module must not know which pools select it.
use k8s_openapi::api::core::v1;
use outrigger_core::facts::{Fact, NAMESPACE_NAME, Namespace};

use super::{Converted, Invalid, checked, labels};

/// Converts a Namespace. The label with its name is added if the API server has not done so.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
pub fn namespace(object: &v1::Namespace) -> Result<Converted, Invalid> {
    let meta = &object.metadata;
    let name = checked("metadata.name", meta.name.as_deref().unwrap_or_default(), 63)?;
    let mut labels = labels(meta.labels.as_ref());
    labels.entry(NAMESPACE_NAME.to_owned()).or_insert_with(|| name.clone());
    Ok(Fact::from(Namespace { name, labels }).into())
}
