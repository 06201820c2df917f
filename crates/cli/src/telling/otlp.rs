//! Spans for a collector, over OTLP/HTTP in protobuf. Where it listens, and everything else, is said by
//! the variables that OpenTelemetry's programs have in common: `docs/traces.md`.

use std::sync::Mutex;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, SpanExporter,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::Lines;
use crate::failure::Failure;

/// What is sent: this program's spans. Those of its libraries are none of a collector's business, and
/// those of the exporter itself would have no end.
const SENT: &str = "off,driftless=debug";
/// How long a daemon that ends waits for a collector that takes its time.
const FAREWELL: Duration = Duration::from_secs(5);
/// What `service.name` is unless the environment says something else.
const SERVICE: &str = "driftless";

/// Who sends the spans, while there is a collector to send them to.
static PROVIDER: Mutex<Option<SdkTracerProvider>> = Mutex::new(None);

/// Begins to send, if a collector is named.
pub(super) fn begin() -> Result<Option<Lines>, Failure> {
    if !is_wanted() {
        return Ok(None);
    }
    // The dependencies leave the choice of a TLS backend to the program. Where one was chosen already,
    // that one is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
        Failure::usage(format!("spans cannot be sent to a collector: {error}"))
            .effect("The daemon does not run.")
            .next(format!("correct {OTEL_EXPORTER_OTLP_ENDPOINT}, or unset it"))
    })?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_batch_exporter(exporter)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE))
        .with_location(false)
        .with_threads(false)
        .with_filter(EnvFilter::new(SENT))
        .boxed();
    *PROVIDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(provider);
    Ok(Some(layer))
}

/// Sends what is left. Asked twice, it has nothing to do.
pub(super) fn end() {
    let provider = PROVIDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some(provider) = provider else { return };
    if let Err(error) = provider.shutdown_with_timeout(FAREWELL) {
        tracing::warn!(%error, "the collector does not have the last spans");
    }
}

/// Whether the environment names a collector, and does not say that it is not to have anything.
fn is_wanted() -> bool {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let collector = said(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT).or(said(OTEL_EXPORTER_OTLP_ENDPOINT));
    let off = said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let none = said("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    collector.is_some() && !off && !none
}

/// Who says it: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have the last word.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    let said = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let named = said.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if named { builder.build() } else { builder.with_service_name(SERVICE).build() }
}
