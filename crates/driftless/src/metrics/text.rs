//! The text format of Prometheus.

use super::{Metric, MetricKind, MetricSample};

pub(super) fn written(metrics: &[Metric]) -> String {
    let mut out = String::new();
    for metric in metrics.iter().filter(|metric| !metric.samples.is_empty()) {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        out.push_str(&format!("# HELP {} {}\n", metric.name, metric.help));
        out.push_str(&format!("# TYPE {} {kind}\n", metric.name));
        for sample in &metric.samples {
            line(&mut out, sample);
        }
    }
    out
}

fn line(out: &mut String, sample: &MetricSample) {
    out.push_str(&sample.name);
    for (place, (name, value)) in sample.labels.iter().enumerate() {
        out.push(if place == 0 { '{' } else { ',' });
        out.push_str(&format!("{name}=\"{}\"", escaped(value)));
    }
    if !sample.labels.is_empty() {
        out.push('}');
    }
    out.push_str(&format!(" {}\n", sample.value));
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_cannot_break_a_line() {
        let labels = vec![("name", "a\"b\\c\nd".to_owned()), ("model", "tag".to_owned())];
        let sample = MetricSample { name: "x".into(), labels, value: 1.5 };
        let metric =
            Metric { name: "x", help: "It.", kind: MetricKind::Gauge, samples: vec![sample] };
        let wanted =
            "# HELP x It.\n# TYPE x gauge\nx{name=\"a\\\"b\\\\c\\nd\",model=\"tag\"} 1.5\n";
        assert_eq!(written(&[metric]), wanted);
    }
}
