//! Which metrics there are, and what they say.

use std::collections::BTreeMap;

use driftless_core::engine::{ModelCounts, Now, Tally};
use driftless_core::schema::Schema;
use driftless_store::Room;

use super::counters::{BOUNDS, Counters, Direction, EVENTS, Histogram, phase_name};
use super::{Metric, MetricKind, MetricSample};
use crate::status::{PeerStatus, Status};

const PHASES: [&str; 4] = ["uninitialized", "backfilling", "catching_up", "ready"];

/// The label of models that the schema does not know.
const UNKNOWN: &str = "unknown";

/// What metrics are made of.
pub(super) struct Facts<'a> {
    pub(super) status: Status,
    pub(super) counters: Counters,
    pub(super) tally: Tally,
    /// What waits in quarantine, by model.
    pub(super) quarantined: ModelCounts,
    pub(super) room: Option<Room>,
    pub(super) now: Now,
    pub(super) schema: &'a Schema,
}

type Values = Vec<(Vec<(&'static str, String)>, f64)>;

#[expect(clippy::cast_precision_loss, reason = "numbers in this format are floats")]
fn float(number: u64) -> f64 {
    number as f64
}

fn metric(name: &'static str, kind: MetricKind, help: &'static str, values: Values) -> Metric {
    let sample = |(labels, value)| MetricSample { name: name.to_owned(), labels, value };
    Metric { name, help, kind, samples: values.into_iter().map(sample).collect() }
}

fn counter(name: &'static str, help: &'static str, values: Values) -> Metric {
    metric(name, MetricKind::Counter, help, values)
}

fn gauge(name: &'static str, help: &'static str, values: Values) -> Metric {
    metric(name, MetricKind::Gauge, help, values)
}

fn one(value: f64) -> Values {
    vec![(vec![], value)]
}

fn histogram(name: &'static str, help: &'static str, of: &Histogram) -> Metric {
    let mut samples = Vec::with_capacity(BOUNDS.len() + 3);
    let mut sample = |end: &str, labels, value| {
        samples.push(MetricSample { name: format!("{name}{end}"), labels, value });
    };
    let mut count = 0;
    for (bucket, times) in of.buckets.iter().enumerate() {
        count += times;
        let bound = BOUNDS.get(bucket).map_or("+Inf".to_owned(), ToString::to_string);
        sample("_bucket", vec![("le", bound)], float(count));
    }
    sample("_sum", vec![], of.seconds);
    sample("_count", vec![], float(count));
    Metric { name, help, kind: MetricKind::Histogram, samples }
}

/// A value for each model of the schema, and one for all others, which has no label of theirs: whoever
/// sends changes could make as many labels as it likes.
fn by_model(schema: &Schema, counts: &ModelCounts) -> Values {
    let mut all = BTreeMap::from([(UNKNOWN.to_owned(), counts.unknown())]);
    for (model, count) in counts.known() {
        // A model may have that name, too.
        *all.entry(schema.name_of(model)).or_default() += count;
    }
    all.into_iter().map(|(name, count)| (vec![("model", name)], float(count))).collect()
}

impl Facts<'_> {
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let mut all = self.of_work();
        all.extend(self.of_traffic());
        all.extend(self.of_peers());
        all.extend(self.of_data());
        all
    }

    fn by_model(&self, counts: &ModelCounts) -> Values {
        by_model(self.schema, counts)
    }

    fn of_work(&self) -> Vec<Metric> {
        let counters = &self.counters;
        let phase = phase_name(&self.status.standing.phase);
        let is = |name: &'static str| {
            (vec![("phase", name.to_owned())], f64::from(u8::from(name == phase)))
        };
        let transitions = PHASES.iter().map(|name| {
            let times = counters.transitions.get(name).copied().unwrap_or(0);
            (vec![("phase", (*name).to_owned())], float(times))
        });
        let events = EVENTS.iter().map(|name| {
            let times = counters.events.get(name).copied().unwrap_or(0);
            (vec![("event", (*name).to_owned())], float(times))
        });
        vec![
            gauge(
                "driftless_phase",
                "1 for the phase that this device is in.",
                PHASES.map(is).into(),
            ),
            counter(
                "driftless_phase_transitions_total",
                "Times that a phase was entered.",
                transitions.collect(),
            ),
            gauge(
                "driftless_phase_done_changes",
                "Change sets of the phase that have come.",
                one(float(self.status.standing.done)),
            ),
            gauge(
                "driftless_phase_expected_changes",
                "Change sets of the phase that must come.",
                one(float(self.status.standing.total)),
            ),
            counter(
                "driftless_changes_committed_total",
                "Changes that this device wrote.",
                self.by_model(&self.tally.committed),
            ),
            counter(
                "driftless_changes_sent_total",
                "Changes in change sets that went to other devices, however often; of rows that a device owns, the pages.",
                self.by_model(&counters.sent),
            ),
            counter(
                "driftless_changes_received_total",
                "Changes in change sets that came from other devices, however often; of rows that a device owns, the pages.",
                self.by_model(&counters.received),
            ),
            counter(
                "driftless_changes_superseded_total",
                "Changes of others of which nothing showed when they were applied, as something later or concurrent stands above them.",
                self.by_model(&self.tally.superseded),
            ),
            counter(
                "driftless_changes_applied_total",
                "Changes of others that were applied; of rows that a device owns, the pages that they came in.",
                self.by_model(&self.tally.applied),
            ),
            histogram(
                "driftless_commit_seconds",
                "How long transactions of local writes took until they were durable.",
                &counters.commit,
            ),
            histogram(
                "driftless_apply_seconds",
                "How long transactions of what came from others took until they were durable.",
                &counters.apply,
            ),
            histogram(
                "driftless_propagation_seconds",
                "How old a change set was, by its writer's clock as far as that is known, when it was visible here.",
                &counters.propagation,
            ),
            counter(
                "driftless_transaction_failures_total",
                "Transactions that could not be made durable.",
                one(float(counters.failures)),
            ),
            counter(
                "driftless_events_total",
                "What happened to sync, and how much of it.",
                events.collect(),
            ),
        ]
    }

    fn of_traffic(&self) -> Vec<Metric> {
        let by = |value: fn(&super::counters::Traffic) -> u64| -> Values {
            let all = self.counters.traffic.iter();
            all.map(|((direction, kind), traffic)| {
                let labels =
                    vec![("direction", direction.name().to_owned()), ("kind", (*kind).to_owned())];
                (labels, float(value(traffic)))
            })
            .collect()
        };
        let sets = [Direction::Received, Direction::Sent].map(|direction| {
            let all = self.counters.traffic.iter().filter(|((way, _), _)| *way == direction);
            (
                vec![("direction", direction.name().to_owned())],
                float(all.map(|(_, it)| it.sets).sum()),
            )
        });
        vec![
            counter(
                "driftless_messages_total",
                "Messages to and from other devices.",
                by(|it| it.messages),
            ),
            counter(
                "driftless_message_bytes_total",
                "Bytes of messages to and from other devices.",
                by(|it| it.bytes),
            ),
            counter(
                "driftless_change_sets_total",
                "Change sets to and from other devices, however often.",
                sets.into(),
            ),
        ]
    }

    fn of_peers(&self) -> Vec<Metric> {
        let now = self.now.steady_ms;
        let times = |peer: &PeerStatus| {
            self.counters.peers.get(&peer.member.device).copied().unwrap_or_default()
        };
        let each = |value: &dyn Fn(&PeerStatus) -> Option<f64>| -> Values {
            let peers = self.status.peers.iter();
            peers
                .filter_map(|peer| {
                    let (device, name) = (peer.member.device.to_string(), peer.member.name.clone());
                    Some((vec![("device", device), ("name", name)], value(peer)?))
                })
                .collect()
        };
        let yes = |is: bool| Some(f64::from(u8::from(is)));
        let since = |at: Option<u64>| at.map(|at| float(now.saturating_sub(at)) / 1e3);
        #[expect(clippy::cast_precision_loss, reason = "clocks are less than 2^52 ms apart")]
        let offset = |peer: &PeerStatus| peer.clock_offset_ms.map(|ms| ms as f64 / 1e3);
        vec![
            gauge(
                "driftless_peer_online",
                "Whether the device is connected.",
                each(&|peer| yes(peer.online)),
            ),
            gauge(
                "driftless_peer_paused",
                "Whether its link was cut on purpose.",
                each(&|peer| yes(peer.paused)),
            ),
            gauge(
                "driftless_peer_evicted",
                "Whether it is not waited for.",
                each(&|peer| yes(peer.member.evicted)),
            ),
            gauge(
                "driftless_peer_behind_changes",
                "Change sets that are here and that it has not acknowledged.",
                each(&|peer| Some(float(peer.behind))),
            ),
            gauge(
                "driftless_peer_ahead_changes",
                "Change sets of it that are not here.",
                each(&|peer| Some(float(peer.ahead))),
            ),
            gauge(
                "driftless_peer_lag_seconds",
                "For how long it has lacked something.",
                each(&|peer| {
                    if peer.behind == 0 {
                        Some(0.0)
                    } else {
                        since(times(peer).behind_since).or(Some(0.0))
                    }
                }),
            ),
            gauge(
                "driftless_peer_acknowledged_age_seconds",
                "How long ago it acknowledged something new.",
                each(&|peer| since(times(peer).acknowledged)),
            ),
            gauge(
                "driftless_peer_round_trip_seconds",
                "The round trip to it.",
                each(&|peer| peer.rtt_ms.map(|ms| ms / 1e3)),
            ),
            gauge(
                "driftless_peer_clock_offset_seconds",
                "How far its clock is ahead of this one's.",
                each(&offset),
            ),
            gauge(
                "driftless_peer_queued_messages",
                "Messages that wait to be sent to it.",
                each(&|peer| Some(float(peer.queued))),
            ),
            counter(
                "driftless_peer_received_bytes_total",
                "Bytes that came from it.",
                each(&|peer| Some(float(peer.traffic.0))),
            ),
            counter(
                "driftless_peer_sent_bytes_total",
                "Bytes that went to it.",
                each(&|peer| Some(float(peer.traffic.1))),
            ),
            counter(
                "driftless_peer_connections_total",
                "Connections with it, those after the first being retries.",
                each(&|peer| Some(float(times(peer).connections))),
            ),
        ]
    }

    fn of_data(&self) -> Vec<Metric> {
        let status = &self.status;
        let rows = status.counts.iter();
        let rows = rows.map(|(model, rows)| (vec![("model", model.clone())], float(*rows)));
        let files = status.sizes.iter();
        let files = files.map(|(file, bytes)| (vec![("file", file.clone())], float(*bytes)));
        let mut all = vec![
            gauge("driftless_records", "Records, by model.", rows.collect()),
            gauge("driftless_conflicts", "Open conflicts.", one(float(status.conflicts))),
            gauge(
                "driftless_quarantined",
                "Records and fields that wait in quarantine, by model.",
                self.by_model(&self.quarantined),
            ),
            gauge(
                "driftless_damaged_records",
                "Damaged records that are not back from the others.",
                one(float(status.damage.count)),
            ),
            gauge(
                "driftless_unsound",
                "Whether more than records is damaged, so that nothing is given to others.",
                one(f64::from(u8::from(status.damage.unsound.is_some()))),
            ),
            gauge("driftless_file_bytes", "Sizes of the library's files.", files.collect()),
        ];
        let Some(room) = &self.room else { return all };
        let parts = [
            ("rows", room.rows),
            ("indexes", room.indexes),
            ("stamps", room.stamps),
            ("sync_indexes", room.sync_indexes),
            ("tombstones", room.tombstones),
            ("log", room.log),
            ("history", room.history),
            ("state", room.state),
            ("free", room.free),
        ];
        let parts = parts.map(|(part, bytes)| (vec![("part", part.to_owned())], float(bytes)));
        all.push(gauge(
            "driftless_room_bytes",
            "What the room of the files is used for.",
            parts.into(),
        ));
        all.push(gauge(
            "driftless_log_change_sets",
            "Change sets in the peer log.",
            one(float(room.change_sets)),
        ));
        all.push(gauge("driftless_tombstones", "Tombstones.", one(float(room.tombstone_rows))));
        all
    }
}

#[cfg(test)]
mod tests {
    use driftless_core::schema::{FieldDescriptor, FieldId, FieldType};
    use driftless_core::schema::{MergeRule, ModelDescriptor, ModelId, ModelKind};

    use super::*;

    fn model(name: &str) -> ModelDescriptor {
        let field = FieldDescriptor {
            id: FieldId::of("text"),
            name: "text".into(),
            ty: FieldType::Text,
            rule: MergeRule::Lww,
            nullable: true,
        };
        ModelDescriptor {
            id: ModelId::of(name),
            name: name.into(),
            kind: ModelKind::Shared,
            fields: vec![field],
            indexes: vec![],
        }
    }

    fn told(models: &[&str]) -> Vec<(String, f64)> {
        let schema = Schema::new(models.iter().map(|name| model(name))).unwrap();
        let mut counts = ModelCounts::of(&schema);
        for name in ["note", "unknown", "of_a_newer_build", "of_another"] {
            counts.add(ModelId::of(name), 1);
        }
        let values = by_model(&schema, &counts).into_iter();
        values.map(|(labels, value)| (labels[0].1.clone(), value)).collect()
    }

    #[test]
    fn models_that_the_schema_does_not_know_have_one_label() {
        let note = || ("note".to_owned(), 1.0);
        assert_eq!(told(&["note"]), [note(), (UNKNOWN.to_owned(), 3.0)]);
        assert_eq!(
            told(&["note", "unknown"]),
            [note(), (UNKNOWN.to_owned(), 3.0)],
            "no label twice"
        );
        let todo = ("todo".to_owned(), 0.0);
        assert_eq!(told(&["note", "todo"]), [note(), todo, (UNKNOWN.to_owned(), 3.0)]);
    }
}
