//! Verification of a delivery without compiling or running it: the compiler is not part of this process.
use outrigger_kube::convert::Delivery;
use outrigger_runtime::{inspect, unpack};

use crate::plugins::world_name;
use crate::trial::{TrialFailure, of_load};

/// Digest and world ("allocator", "announcer"), or the reason for the refusal.
pub type Checked = Result<(String, String), TrialFailure>;

/// Decompresses and inspects a delivery on a thread of its own. Returns the delivery with the result.
pub async fn check(delivery: Delivery) -> (Delivery, Checked) {
    let looked = tokio::task::spawn_blocking({
        let delivery = delivery.clone();
        move || look(&delivery)
    });
    let checked = looked.await.unwrap_or_else(|error| {
        let message = format!("inspecting it failed ({error}): report this as a bug");
        Err(TrialFailure { reason: "NotAPlugin", message })
    });
    (delivery, checked)
}

fn look(delivery: &Delivery) -> Checked {
    let unusable = |(reason, message): &(&'static str, String)| TrialFailure {
        reason,
        message: message.clone(),
    };
    let (_, octets) = delivery.octets.as_ref().map_err(unusable)?;
    let found = unpack(octets)
        .and_then(|component| inspect(&component))
        .map_err(|error| of_load(&error))?;
    Ok((found.digest, world_name(found.world).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_plugin_is_refused_by_name_before_it_is_copied_anywhere() {
        for (octets, reason) in [
            (b"this is text".to_vec(), "NotAPlugin"),
            (b"\x1f\x8b and no gzip".to_vec(), "NotAPlugin"),
            (b"\0asm\x0d\0\x01\0".to_vec(), "WrongWorld"),
        ] {
            let delivery = Delivery {
                name: "mine".to_owned(),
                config_map: "map".to_owned(),
                id: "1".to_owned(),
                settle_seconds: None,
                compile_within_seconds: None,
                octets: Ok(("plugin.wasm", octets)),
            };
            let (same, checked) = check(delivery.clone()).await;
            assert_eq!(same, delivery);
            assert_eq!(checked.unwrap_err().reason, reason);
        }
    }

    #[tokio::test]
    async fn an_embedded_plugin_is_one_that_may_be_delivered() {
        for plugin in crate::embedded::PLUGINS {
            let delivery = Delivery {
                name: plugin.name.to_owned(),
                config_map: "map".to_owned(),
                id: "1".to_owned(),
                settle_seconds: None,
                compile_within_seconds: None,
                octets: Ok(("plugin.wasm", plugin.bytes.to_vec())),
            };
            let (digest, world) = check(delivery).await.1.unwrap();
            assert_eq!(digest.len(), 64);
            assert_eq!(world == "allocator", plugin.name == "lowest-free");
        }
    }
}
