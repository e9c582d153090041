//! Crates point down only: the table of ARCHITECTURE.md.
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;

/// Each crate, and those of ours that it may use besides `outrigger-features`, which is nothing but dependencies.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("sdk/wire", &[]),
    ("sdk", &["wire"]),
    ("plugins/layer2", &["sdk"]),
    ("plugins/bgp", &["sdk"]),
    ("plugins/allocators/lowest-free", &["sdk"]),
    ("host/core", &["sdk", "wire"]),
    ("host/kube", &["core", "sdk"]),
    ("host/net", &["sdk"]),
    ("host/runtime", &["sdk"]),
    ("host", &["core", "kube", "net", "runtime", "sdk"]),
    ("tests", &["sdk-build"]),
];

/// Checks the `[dependencies]` of each.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (folder, allowed) in MAY_USE {
        let file = Path::new(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(root.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let mut section = "";
        for (line, text) in (1..).zip(text.lines()) {
            if text.starts_with('[') {
                section = text;
            }
            let ours = text.strip_prefix("outrigger-").filter(|_| section == "[dependencies]");
            let name = ours.and_then(|rest| rest.split(['.', ' ', '=']).next());
            if let Some(name) = name.filter(|name| *name != "features" && !allowed.contains(name)) {
                let message = format!(
                    "{folder} must not depend on outrigger-{name}: see the table in ARCHITECTURE.md"
                );
                findings.push(Finding { file: file.clone(), line, message });
            }
        }
    }
    Ok(findings)
}
