//! What `top` shows, as plain values.

use std::time::Duration;

use super::feed::{Glance, News};
use crate::answer::{LogRow, PeerState, PhaseProgress, TrendReport};
use crate::render;
use crate::text::{self, plain};

/// How many seconds the lines of the last minute have.
pub(super) const SECONDS: usize = 60;

/// All that is shown.
pub(super) struct View {
    /// The library's name, and this device's.
    pub(super) title: String,
    pub(super) phase: String,
    pub(super) verdict: String,
    /// How far the phase is, in per cent and in words.
    pub(super) progress: Option<(u16, String)>,
    pub(super) devices: Vec<DeviceLine>,
    pub(super) minute: [Pulse; 4],
    pub(super) conflicts: u64,
    pub(super) quarantined: u64,
    /// Rows of each model that has any.
    pub(super) records: Vec<(String, u64)>,
    /// The last first.
    pub(super) events: Vec<EventLine>,
    /// Which device is selected.
    pub(super) selected: usize,
    /// Whether the keys are told.
    pub(super) help: bool,
    /// What came of the last wish.
    pub(super) note: Option<String>,
    /// Why the daemon cannot be asked.
    pub(super) lost: Option<String>,
    /// Whether colours are wanted.
    pub(super) colour: bool,
}

/// A device, as its line says it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DeviceLine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) online: bool,
    pub(super) paused: bool,
    pub(super) link: String,
    pub(super) route: String,
    pub(super) rtt: String,
    pub(super) behind: u64,
    pub(super) ahead: u64,
    pub(super) lag: String,
    pub(super) acked: String,
}

/// Something that is counted by the second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pulse {
    pub(super) name: &'static str,
    /// The last minute, the oldest second first.
    pub(super) seconds: Vec<u64>,
    /// The last whole second, in words.
    pub(super) now: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EventLine {
    /// Of the day, in UTC.
    pub(super) time: String,
    pub(super) severity: String,
    pub(super) words: String,
}

impl View {
    /// Nothing is known yet.
    pub(super) fn new(colour: bool) -> Self {
        Self {
            title: "driftless".to_owned(),
            phase: String::new(),
            verdict: "Asking the daemon …".to_owned(),
            progress: None,
            devices: Vec::new(),
            minute: Default::default(),
            conflicts: 0,
            quarantined: 0,
            records: Vec::new(),
            events: Vec::new(),
            selected: 0,
            help: false,
            note: None,
            lost: None,
            colour,
        }
    }

    /// Takes in what the daemon said.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Glance(glance) => self.glance(&glance),
            News::Lost(words) => self.lost = Some(plain(&words)),
            News::Done(words) => self.note = Some(plain(&words)),
        }
    }

    /// Selects a device, the last if there are not so many.
    pub(super) fn select(&mut self, index: usize) {
        self.selected = index.min(self.devices.len().saturating_sub(1));
    }

    fn glance(&mut self, glance: &Glance) {
        let status = &glance.status;
        let selected = self.devices.get(self.selected).map(|device| device.id.clone());
        self.lost = None;
        self.title = format!("{} · {}", plain(&status.library), plain(&status.device));
        self.phase = status.phase.replace('_', " ");
        self.verdict = plain(&status.verdict);
        self.progress = status.progress.as_ref().map(progress);
        self.devices = status.peers.iter().map(|peer| device(peer, text::now_ms())).collect();
        self.minute = minute(&glance.trend);
        (self.conflicts, self.quarantined) = (status.conflicts, status.quarantined);
        let records = status.counts.iter().filter(|(_, rows)| **rows > 0);
        self.records = records.map(|(model, rows)| (plain(model), *rows)).collect();
        self.events = glance.events.iter().rev().filter_map(event).collect();
        // Devices may come and go; the one that is selected stays so.
        let same = self.devices.iter().position(|device| Some(&device.id) == selected.as_ref());
        self.select(same.unwrap_or(self.selected));
    }
}

fn progress(progress: &PhaseProgress) -> (u16, String) {
    let percent = u16::try_from(progress.percent.min(100)).unwrap_or(100);
    (percent, render::phase(progress))
}

fn device(peer: &PeerState, now_ms: u64) -> DeviceLine {
    let link = match peer {
        PeerState { paused: true, .. } => "paused",
        PeerState { online: true, .. } => "online",
        PeerState { evicted: true, .. } => "evicted",
        PeerState { met: false, .. } => "never met",
        _ => "offline",
    };
    let seen = peer.last_seen.as_deref().and_then(|seen| text::parse_time(seen).ok());
    let away =
        seen.filter(|_| !peer.online).map(|seen| format!("seen {}", text::ago(seen, now_ms)));
    let route = peer.route.as_deref().map(plain).filter(|_| peer.online);
    let lag = Duration::from_millis(peer.lag_ms);
    let acked = peer.acked_ms_ago.map(|ago| text::ago(now_ms.saturating_sub(ago), now_ms));
    DeviceLine {
        id: peer.device_id.clone(),
        name: plain(&peer.name),
        online: peer.online,
        paused: peer.paused,
        link: link.to_owned(),
        route: route.or(away).unwrap_or_default(),
        rtt: peer.rtt_ms.map_or_else(String::new, |ms| format!("{ms:.1} ms")),
        behind: peer.behind,
        ahead: peer.ahead,
        lag: if peer.behind > 0 { text::duration(lag) } else { String::new() },
        acked: acked.unwrap_or_default(),
    }
}

/// What happened in each of the last seconds: those of which nothing is told had nothing.
fn minute(trend: &TrendReport) -> [Pulse; 4] {
    let pulse = |name, of: fn(&crate::answer::TrendRow) -> u64, said: fn(u64) -> String| {
        let mut seconds = vec![0_u64; SECONDS];
        for point in &trend.points {
            // A step spreads over its seconds; with steps of one second each is one.
            let age = trend.until_ms.saturating_sub(point.at_ms) / 1_000;
            let at = usize::try_from(age).ok().and_then(|age| SECONDS.checked_sub(age + 1));
            if let Some(second) = at.and_then(|at| seconds.get_mut(at)) {
                *second = second.saturating_add(of(point));
            }
        }
        // The second that runs is not whole.
        let now = seconds.iter().rev().nth(1).copied().unwrap_or(0);
        Pulse { name, seconds, now: said(now) }
    };
    [
        pulse("committed", |point| point.committed, |n| format!("{}/s", text::count(n))),
        pulse("applied", |point| point.applied, |n| format!("{}/s", text::count(n))),
        pulse("sent", |point| point.sent_bytes, |n| format!("{}/s", text::bytes(n))),
        pulse("received", |point| point.received_bytes, |n| format!("{}/s", text::bytes(n))),
    ]
}

fn event(row: &LogRow) -> Option<EventLine> {
    let LogRow::Event { severity, last, words, times, .. } = row else { return None };
    let time = last.get(11..19).unwrap_or(last).to_owned();
    let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
    Some(EventLine { time, severity: severity.clone(), words: plain(words) + &times })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::answer::TrendRow;

    /// A library of three devices, one of them away.
    pub(in crate::top) fn view() -> View {
        let line = |id: &str, name: &str| DeviceLine {
            id: id.to_owned(),
            name: name.to_owned(),
            ..DeviceLine::default()
        };
        let desktop = DeviceLine {
            online: true,
            link: "online".into(),
            route: "direct 192.168.1.20:7700".into(),
            rtt: "1.2 ms".into(),
            acked: "just now".into(),
            ..line("aa", "desktop")
        };
        let phone = DeviceLine {
            link: "offline".into(),
            route: "seen 2 days ago".into(),
            behind: 1_212,
            ahead: 3,
            lag: "2 days".into(),
            acked: "2 days ago".into(),
            ..line("bb", "phone")
        };
        let event = |time: &str, severity: &str, words: &str| EventLine {
            time: time.into(),
            severity: severity.into(),
            words: words.into(),
        };
        let pulse = |name, now: &str, height: u64| Pulse {
            name,
            seconds: (0..60).map(|second| second * height / 60).collect(),
            now: now.into(),
        };
        View {
            title: "home · laptop".into(),
            phase: "backfilling".into(),
            verdict:
                "Up to date with 1 of 2 devices; phone is 1,212 changes behind, offline for 2 days"
                    .into(),
            progress: Some((43, "receiving, 43 % (430 of 1,000 changes), 12 s left".into())),
            devices: vec![desktop, phone],
            minute: [
                pulse("committed", "12/s", 16),
                pulse("applied", "0/s", 0),
                pulse("sent", "1.2 MB/s", 1_200_000),
                pulse("received", "0 B/s", 8),
            ],
            conflicts: 2,
            quarantined: 0,
            records: vec![("device".into(), 3), ("entry".into(), 48_210), ("tag".into(), 12)],
            events: vec![
                event("10:41:09", "warning", "the link to phone was lost: it went away"),
                event("10:41:07", "info", "desktop is connected, directly"),
            ],
            ..View::new(true)
        }
    }

    fn row(at_ms: u64, committed: u64) -> TrendRow {
        TrendRow { at_ms, committed, ..TrendRow::default() }
    }

    #[test]
    fn seconds_stand_where_they_belong_and_what_is_too_old_is_left_out() {
        let until_ms = 1_000_000;
        let at = |seconds: u64, committed| row(until_ms - seconds * 1_000, committed);
        let points = vec![at(100, 9), at(59, 1), at(1, 7), at(0, 3)];
        let trend = TrendReport { from_ms: 0, until_ms, step_ms: 1_000, points };
        let [committed, ..] = minute(&trend);
        assert_eq!(committed.seconds.len(), SECONDS);
        assert_eq!(committed.seconds.iter().sum::<u64>(), 11);
        assert_eq!((committed.seconds[0], committed.seconds[58], committed.seconds[59]), (1, 7, 3));
        assert_eq!(committed.now, "7/s");
    }

    #[test]
    fn what_was_lost_is_forgotten_with_the_next_answer_and_the_selection_stays_with_its_device() {
        let mut view = view();
        view.take(News::Lost("the daemon\x1b is gone".into()));
        assert_eq!(view.lost.as_deref(), Some("the daemon\u{fffd} is gone"));
        view.take(News::Done("The link is cut".into()));
        assert_eq!(view.note.as_deref(), Some("The link is cut"));
        view.select(9);
        assert_eq!(view.selected, 1);
    }
}
