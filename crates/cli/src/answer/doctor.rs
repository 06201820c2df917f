//! What a look at everything found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad a finding is, the worst last.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Nothing was found.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// The library works, and something should be done.
    Warning,
    /// The library does not work as it should.
    Error,
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Which check.
    pub(crate) check: String,
    pub(crate) severity: Severity,
    /// What is so.
    pub(crate) what: String,
    /// What it means.
    pub(crate) effect: String,
    /// What cures it.
    pub(crate) next: String,
}

/// A check that found nothing.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) check: String,
    /// What is so.
    pub(crate) what: String,
}

/// What a look at everything found.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DoctorReport {
    /// The worst first.
    pub(crate) findings: Vec<Finding>,
    pub(crate) passed: Vec<Passed>,
    /// The severity of the worst finding; `ok` if there is none.
    pub(crate) worst: Severity,
    /// How things stand, as `status` says it; none of a library that cannot be opened.
    pub(crate) verdict: Option<String>,
}
