//! Spans that two daemons send to a collector, which is a stand-in that speaks OTLP/HTTP in protobuf.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::common::{World, finish};

/// A collector on loopback.
struct Collector {
    address: SocketAddr,
    /// What came: who said it, and the span.
    spans: Arc<Mutex<Vec<(String, Span)>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let collector = Self { address, spans: spans.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let spans = spans.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &spans));
            }
        });
        collector
    }

    /// The spans of this name and about this change set.
    fn spans(&self, name: &str, dot: &str) -> Vec<(String, Span)> {
        let about =
            |span: &Span| text(&span.attributes, "dot").is_some_and(|dots| dots.contains(dot));
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|(_, span)| span.name == name && about(span)).cloned().collect()
    }
}

/// Answers requests of one connection until it ends.
fn serve(stream: TcpStream, spans: &Mutex<Vec<(String, Span)>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(body) = request(&mut reader) {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let service = text(&attributes, "service.name").unwrap();
            let came = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.lock().unwrap().extend(came.map(|span| (service.clone(), span)));
        }
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
        );
        // A daemon that ends need not wait for this.
        (&stream).write_all(&[head.as_bytes(), &answer].concat()).ok();
    }
}

/// The body of the next request, which has to be what the protocol says.
fn request(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    assert_eq!(head[0], "POST /v1/traces HTTP/1.1");
    let field = |name: &str| {
        let fields = head.iter().filter_map(|line| line.split_once(": "));
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    };
    assert_eq!(field("content-type"), Some("application/x-protobuf"));
    let mut body = vec![0; field("content-length").unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    Some(body)
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

#[test]
fn spans_of_two_daemons_meet_in_a_collector_by_the_dot() {
    let (world, collector) = (World::new(), Collector::start());
    let (mut laptop, mut phone) = (world.founder("laptop"), world.device("phone"));
    phone.join(&laptop, "phone");
    laptop.down();
    let endpoint = format!("http://{}", collector.address);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    // The last spans are not to wait for the next time that a batch is sent: `down` sees to them.
    let never = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    laptop.up_with(&[endpoint, never]);
    phone.up_with(&[endpoint, never, ("OTEL_SERVICE_NAME", "pocket")]);
    laptop.sync();
    let tag = laptop.ok(&["tag", "create", "holiday"])["id"].take();
    let history = laptop.ok(&["history", tag.as_str().unwrap()]);
    let dot = history[0]["dot"].as_str().unwrap();
    laptop.sync();
    let ids = [&laptop, &phone].map(|device| device.ok(&["status"])["device_id"].take());
    assert!(collector.spans("commit", dot).is_empty(), "a batch is sent at the end");
    laptop.down();
    phone.down();
    let ways = [("commit", 0), ("send", 0), ("receive", 1), ("apply", 1)];
    for (name, at) in ways {
        let found = collector.spans(name, dot);
        let [(service, span)] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert_eq!(service, ["driftless", "pocket"][at]);
        assert_eq!(text(&span.attributes, "device").as_deref(), ids[at].as_str());
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        if name == "apply" {
            // What was applied is tied to the message that brought it.
            let received = collector.spans("receive", dot).remove(0).1;
            assert!(span.links.iter().any(|link| link.span_id == received.span_id), "{span:?}");
        }
    }
    let spans = collector.spans.lock().unwrap();
    let mut sessions = spans.iter().filter(|(_, span)| span.name == "session");
    let sent = spans.iter().find(|(_, span)| span.name == "send").unwrap();
    assert!(sessions.any(|(_, span)| span.span_id == sent.1.parent_span_id));
}

#[test]
fn without_a_collector_a_daemon_ends_as_ever_and_a_wrong_address_is_refused() {
    let world = World::new();
    let mut laptop = world.device("laptop");
    laptop.ok(&["init"]);
    // Nobody listens at a port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let log = world.path().join("laptop.log");
    let vars = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("RUST_LOG", "warn")];
    laptop.up_telling(&log, &[], &vars);
    laptop.ok(&["tag", "create", "holiday"]);
    laptop.down();
    // Nobody has to wonder where the spans are.
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("OTLP export"), "{told}");
    let mut command = laptop.command(&["up", "--offline"]);
    let outcome =
        finish(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "no address").spawn().unwrap(), "");
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{outcome:?}");
}
