//! The status of one Service as a file: a v1 Service with only its name and status, as Kubernetes would show it. This
//! module must not know who reads it.
use std::io;
use std::net::IpAddr;
use std::path::Path;

use k8s_openapi::api::core::v1::{
    LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus as Status,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time as Timestamp};
use k8s_openapi::jiff;
use outrigger_core::facts::ServiceKey;
use outrigger_sdk::Time;

use crate::convert::{self, ALLOCATED};

/// The condition [`ALLOCATED`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    /// True if the Service has every address that it asks for.
    pub status: bool,
    /// Machine-readable reason in CamelCase.
    pub reason: String,
    /// Human-readable message.
    pub message: String,
}

/// The status of a Service in the state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Addresses of `status.loadBalancer.ingress[].ip`.
    pub addresses: Vec<IpAddr>,
    /// The condition; `None` if the status has none.
    pub allocated: Option<Allocated>,
    /// Time of the last change of the condition's `status`, in microseconds since 1970.
    pub since_us: u64,
}

/// Reason why a status file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it does not exist")]
    Absent,
    #[error("{0}")]
    Io(io::Error),
    #[error("it is empty")]
    Empty,
    #[error("{0}")]
    Yaml(String),
    #[error("it belongs to {0}")]
    Other(String),
    #[error("{0}")]
    Ingress(#[from] convert::Invalid),
}

pub(super) fn read(path: &Path, key: &ServiceKey) -> Result<ServiceStatus, ReadError> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Absent,
        _ => ReadError::Io(error),
    })?;
    if text.trim().is_empty() {
        return Err(ReadError::Empty);
    }
    let options = serde_saphyr::options! { with_snippet: false };
    let object: Service = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| ReadError::Yaml(error.to_string()))?;
    let meta = &object.metadata;
    if (meta.namespace.as_deref(), meta.name.as_deref())
        != (Some(key.namespace()), Some(key.name()))
    {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        return Err(ReadError::Other(format!("{}/{}", part(&meta.namespace), part(&meta.name))));
    }
    let conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let condition = conditions.into_iter().find(|condition| condition.type_ == ALLOCATED);
    Ok(ServiceStatus {
        addresses: convert::ingress(&object)?.into_vec(),
        allocated: condition.map(|condition| Allocated {
            status: condition.status == "True",
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }),
        since_us: condition.map_or(0, |condition| micros(&condition.last_transition_time)),
    })
}

pub(super) fn render(
    key: &ServiceKey,
    addresses: &[IpAddr],
    allocated: &Allocated,
    before: Option<&ServiceStatus>,
    now: Time,
) -> String {
    let unchanged = before.filter(|before| {
        before.allocated.as_ref().is_some_and(|before| before.status == allocated.status)
    });
    let ingress = |address: &IpAddr| LoadBalancerIngress {
        ip: Some(address.to_string()),
        ..LoadBalancerIngress::default()
    };
    let condition = Condition {
        type_: ALLOCATED.to_owned(),
        status: if allocated.status { "True" } else { "False" }.to_owned(),
        reason: allocated.reason.clone(),
        message: allocated.message.clone(),
        observed_generation: None,
        last_transition_time: timestamp(unchanged.map_or(now.utc_us, |before| before.since_us)),
    };
    let object = Service {
        metadata: ObjectMeta {
            namespace: Some(key.namespace().to_owned()),
            name: Some(key.name().to_owned()),
            ..ObjectMeta::default()
        },
        spec: None,
        status: Some(Status {
            conditions: Some(vec![condition]),
            load_balancer: Some(LoadBalancerStatus {
                ingress: Some(addresses.iter().map(ingress).collect()),
            }),
        }),
    };
    serde_saphyr::to_string(&object).expect("a Service is plain data")
}

/// Converts microseconds since 1970 to a Kubernetes timestamp.
pub(crate) fn timestamp(utc_us: u64) -> Timestamp {
    let micros = i64::try_from(utc_us).unwrap_or(i64::MAX);
    Timestamp(jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX))
}

/// Formats microseconds since 1970 as RFC 3339, with a resolution of one second.
pub fn rfc3339(utc_us: u64) -> String {
    timestamp(utc_us).0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats microseconds since 1970 as human-readable text; "" for 0, which means unknown.
pub fn utc(utc_us: u64) -> String {
    match utc_us {
        0 => String::new(),
        us => timestamp(us).0.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    }
}

fn micros(timestamp: &Timestamp) -> u64 {
    u64::try_from(timestamp.0.as_microsecond()).unwrap_or(0)
}
