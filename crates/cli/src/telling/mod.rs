//! What the program says beside its answers: the log on the standard error stream, and, if it was built
//! with the feature `otlp`, spans for a collector.

#[cfg(feature = "otlp")]
mod otlp;

use std::io;

use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::args::{Command, LogFormat};
use crate::failure::Failure;

/// The daemon tells what happens; commands speak of trouble alone.
const DAEMON: &str = "warn,driftless=info,driftless_net=warn,driftless_net::pairing=info";
const COMMAND: &str = "error,driftless=warn";

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// Begins to tell, as far as `RUST_LOG` asks for it. A span is told when it ends: only then is all of it
/// known.
pub(crate) fn begin(command: &Command) -> Result<(), Failure> {
    let (usual, format) = match command {
        Command::Up(up) => (DAEMON, up.log_format),
        _ => (COMMAND, LogFormat::Text),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let mut layers = vec![lines(format).with_filter(filter).boxed()];
    if matches!(command, Command::Up(_)) {
        layers.extend(spans()?);
    }
    tracing_subscriber::registry().with(layers).init();
    Ok(())
}

/// Has everything that was told so far with whoever is to have it, and tells no more.
pub(crate) fn end() {
    #[cfg(feature = "otlp")]
    otlp::end();
}

fn lines(format: LogFormat) -> Lines {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE);
    match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().boxed(),
    }
}

#[cfg(feature = "otlp")]
fn spans() -> Result<Option<Lines>, Failure> {
    otlp::begin()
}

#[cfg(not(feature = "otlp"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
fn spans() -> Result<Option<Lines>, Failure> {
    Ok(None)
}
