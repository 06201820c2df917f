//! The log on the standard error stream: what the program says beside its answers.

use std::io;

use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::args::{Command, LogFormat};

/// The daemon tells what happens; commands speak of trouble alone.
const DAEMON: &str = "warn,driftless=info,driftless_net=warn,driftless_net::pairing=info";
const COMMAND: &str = "error,driftless=warn";

/// Begins to tell, as far as `RUST_LOG` asks for it. A span is told when it ends: only then is all of it
/// known.
pub(crate) fn begin(command: &Command) {
    let (usual, format) = match command {
        Command::Up(up) => (DAEMON, up.log_format),
        _ => (COMMAND, LogFormat::Text),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::registry().with(lines(format).with_filter(filter)).init();
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE);
    match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().boxed(),
    }
}
