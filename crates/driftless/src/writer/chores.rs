//! What the writer does by itself: at leisure, or because its time has come.

use std::time::{Duration, Instant};

use driftless_net::Cut;

use super::{HISTORY_EVERY, PAUSE_AFTER_FAILURE, Writer};
use crate::metrics::Gauges;
use crate::pace::{LOOK_EVERY_MS, Standing};
use crate::time;

/// How long it is quiet before the peer log is written.
const QUIET: Duration = Duration::from_millis(200);
/// How long change sets may wait for that, and events for something to be written with.
const LOG_DELAY: Duration = Duration::from_secs(1);
/// Change sets that may wait for the peer log before it is written though there is work to do.
const MAX_UNLOGGED: u64 = 1_000;

/// When the peer log is written: in the first quiet moment, as it costs some syncs of the disk that
/// whoever writes just then would wait for, but not much later than there is something to write.
#[derive(Debug, Default)]
pub(super) struct LogTimer {
    due: Option<Instant>,
    latest: Option<Instant>,
}

impl LogTimer {
    /// When, if there is something to write.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something has happened, and is to be written when nothing has happened for a while.
    pub(super) fn when_quiet(&mut self, now: Instant) {
        let latest = *self.latest.get_or_insert(now + LOG_DELAY);
        self.due = Some(latest.min(now + QUIET));
    }

    /// Something is to be written that need not be soon.
    fn at_the_latest(&mut self, now: Instant) {
        let latest = *self.latest.get_or_insert(now + LOG_DELAY);
        self.due.get_or_insert(latest);
    }

    /// It is to be written then, whatever happens.
    fn at(&mut self, at: Instant) {
        (self.due, self.latest) = (Some(at), Some(at));
    }

    /// There is nothing to write.
    fn done(&mut self) {
        *self = Self::default();
    }
}

impl Writer {
    /// Whether there is something to do at leisure, and leisure.
    pub(super) fn may_sweep(&self) -> bool {
        self.has_leisure() && self.store.is_unswept() && self.patience() != Some(Duration::ZERO)
    }

    /// Whether work at leisure has not failed a moment ago.
    pub(super) fn has_leisure(&self) -> bool {
        self.sweep_after.is_none_or(|at| at <= Instant::now())
    }

    /// Moves the write-ahead log before a transaction has to wait for it.
    pub(super) fn move_log(&mut self) {
        if let Err(error) = self.store.move_log() {
            tracing::warn!(%error, "the write-ahead log cannot be moved yet; it only takes room");
            self.sweep_after = Some(Instant::now() + PAUSE_AFTER_FAILURE);
        }
    }

    /// Does a slice of what can be done at leisure. Whether there is more to do now.
    pub(crate) fn sweep(&mut self) -> bool {
        self.store.sweep().unwrap_or_else(|error| {
            tracing::warn!(%error, "what is forgotten cannot be removed yet; it only takes room");
            self.sweep_after = Some(Instant::now() + PAUSE_AFTER_FAILURE);
            false
        })
    }

    /// Gets ready to give all free room back. What waits to be written to the peer log is room as well.
    pub(crate) fn make_room(&mut self) {
        self.sweep_after = None;
        self.log.done();
        let moved = self.store.flush_log().and_then(|()| self.store.begin());
        if let Err(error) = moved.and_then(|()| self.store.commit()) {
            tracing::warn!(%error, "the peer log cannot be written yet; it only takes room");
        }
        self.store.give_all_back();
    }

    pub(super) fn poll_watches(&mut self) {
        let mut watches = std::mem::take(&mut self.watches);
        watches.retain_mut(|watch| !watch.poll(self));
        self.watches.append(&mut watches);
    }

    /// Whoever waits for members that are no neighbours has them dialled.
    pub(super) fn tend_links(&mut self) {
        let now = time::now().steady_ms;
        let wanted = self.watches.iter().flat_map(|watch| watch.awaited());
        let guests = wanted.filter(|device| {
            self.neighbourhood.guests().contains(device)
                || !self.neighbourhood.is_neighbour(device) && !self.is_reachable(device)
        });
        let guests = guests.collect();
        let changed = *self.neighbourhood.guests() != guests;
        for gone in self.neighbourhood.set_guests(guests) {
            if !self.neighbourhood.is_neighbour(&gone) {
                let cut = Cut::Other;
                self.disconnect(&gone, cut, "it is no neighbour, and nobody waits for it any more");
            }
        }
        if changed || self.neighbourhood.deadline().is_some_and(|at| at <= now) {
            self.refresh_routes();
        }
    }

    /// The phase, and how fast it gets on.
    pub(crate) fn standing(&mut self) -> Standing {
        let phase = self.engine.phase(&self.store);
        let here = self.engine.state(&self.store);
        self.pace.note(phase, &here, time::now().steady_ms)
    }

    /// Looks at the phase a while after something has happened.
    pub(super) fn look_if_due(&mut self) {
        let now = time::now().steady_ms;
        if self.look_due.is_none_or(|at| at > now) {
            return;
        }
        self.look_due = None;
        let standing = self.standing();
        self.tell_phase(&standing);
        if let Some(wait) = self.tell_counts() {
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.look_due = Some(now.saturating_add(ms.max(LOOK_EVERY_MS)));
        }
        self.counters.phase(&standing.phase);
        let gauges = self.gauges(now);
        self.sample_trend(gauges);
        if self.told_standing.replace(standing) != Some(standing) {
            // Nobody listening is no failure.
            drop(self.standings.send(standing));
            drop(self.pulse.send(()));
        }
    }

    /// How things are. Notes which members lack something.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(super) fn gauges(&mut self, now: u64) -> Gauges {
        let mut gauges = Gauges {
            conflicts: self.store.conflict_count(),
            quarantined: self.told.quarantined(),
            ..Gauges::default()
        };
        let here = self.store.identity().device;
        for certificate in self.roster.certificates().filter(|it| it.device != here) {
            let device = certificate.device;
            let lag = self.engine.lag(&self.store, &device);
            let since = self.counters.behind(device, lag.behind > 0, now);
            gauges.online += u64::from(self.engine.is_ready(&device));
            if !self.evicted.contains(&device) {
                gauges.backlog = gauges.backlog.max(lag.behind);
                let lag_ms = since.map_or(0, |since| now.saturating_sub(since));
                gauges.lag_ms = gauges.lag_ms.max(lag_ms);
            }
        }
        gauges
    }

    /// Has the trend written with the peer log, or by itself a while after something has happened.
    pub(super) fn keep_trend_if_due(&mut self) {
        if self.trend.due.is_some_and(|at| at <= Instant::now()) {
            self.trend.due = None;
            self.store.keep_trend();
            self.log.at(Instant::now());
        }
    }

    /// What is not in the trend yet gets there with the last writing of the peer log.
    pub(super) fn end_trend(&mut self) {
        let gauges = self.gauges(time::now().steady_ms);
        self.sample_trend(gauges);
        self.store.keep_trend();
    }

    pub(super) fn flush_log_if_due(&mut self) {
        let due = self.log.due().is_some_and(|at| at <= Instant::now());
        if !due && self.store.unflushed() < MAX_UNLOGGED {
            return;
        }
        self.log.done();
        if let Err(error) = self.store.flush_log() {
            tracing::warn!(%error, "the peer log cannot be written; library.db keeps what it lacks");
            self.log.at(Instant::now() + PAUSE_AFTER_FAILURE);
        }
    }

    /// Events are written a while after they happened, if not with something else before.
    pub(crate) fn log_soon(&mut self) {
        self.log.at_the_latest(Instant::now());
    }

    /// Change sets grow too old by themselves; a history that has grown too large makes room though
    /// there is work to do.
    pub(super) fn look_at_history_if_due(&mut self) {
        self.store.tell_time(time::wall_ms());
        let mut looked = Ok(());
        if self.history_due <= Instant::now() {
            self.history_due = Instant::now() + HISTORY_EVERY;
            looked = crate::settings::history(&self.store)
                .and_then(|limits| Ok(self.store.limit_history(limits, time::wall_ms())?));
        } else if self.store.is_history_crowded() && !self.may_sweep() {
            looked = self.store.sweep().map(|_| ()).map_err(Into::into);
        }
        if let Err(error) = looked {
            tracing::warn!(%error, "old history cannot be removed yet; it only takes room");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_written_when_it_is_quiet_and_not_much_later_if_it_never_is() {
        let mut timer = LogTimer::default();
        let begun = Instant::now();
        let after = |timer: &LogTimer| timer.due().map(|at| at - begun);
        assert_eq!(after(&timer), None);
        timer.when_quiet(begun);
        assert_eq!(after(&timer), Some(QUIET));
        timer.when_quiet(begun + QUIET / 2);
        assert_eq!(after(&timer), Some(QUIET / 2 + QUIET));
        timer.when_quiet(begun + LOG_DELAY - QUIET / 2);
        assert_eq!(after(&timer), Some(LOG_DELAY));
        timer.done();
        timer.at_the_latest(begun);
        assert_eq!(after(&timer), Some(LOG_DELAY), "an event alone");
        timer.at(begun);
        timer.when_quiet(begun);
        assert_eq!(after(&timer), Some(Duration::ZERO), "it was to be now");
    }
}
