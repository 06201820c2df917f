//! Libraries, the devices that belong to them, and the links between these.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A library that this device belongs to from now on.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Founded {
    pub(crate) library_id: String,
    pub(crate) library: String,
    pub(crate) device_id: String,
    pub(crate) device: String,
    pub(crate) dir: String,
}

/// A ticket.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) ticket: String,
    pub(crate) expires: String,
    /// Whether a daemon runs that can answer the joiner.
    pub(crate) reachable: bool,
}

/// A joiner that showed a ticket.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Pairing {
    pub(crate) code: String,
    pub(crate) device_id: String,
    pub(crate) name: String,
    /// Whether it is a member now.
    pub(crate) joined: bool,
}

/// A member.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DeviceRow {
    pub(crate) id: String,
    pub(crate) name: String,
    /// What its membership is: `active`, or `evicted`, which is a member that is not waited for.
    pub(crate) state: String,
    pub(crate) here: bool,
    pub(crate) online: bool,
    pub(crate) os: Option<String>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) invited_by: String,
    pub(crate) since: String,
}

/// A link to another device.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    pub(crate) device_id: String,
    pub(crate) name: String,
    pub(crate) online: bool,
    pub(crate) paused: bool,
    pub(crate) route: Option<String>,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) last_seen: Option<String>,
    pub(crate) last_failure: Option<String>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// Links that were cut, or may be made again.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct LinksReport {
    /// Of this device, or of all.
    pub(crate) device_id: Option<String>,
    pub(crate) paused: bool,
}

/// An address that was remembered.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct RouteReport {
    pub(crate) address: SocketAddr,
}

/// What stopping the daemon came to.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct StoppedReport {
    /// Whether there was one.
    pub(crate) stopped: bool,
}
