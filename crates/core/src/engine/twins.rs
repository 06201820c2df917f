//! Two live copies of one device: told, and kept from outbidding each other for ever.
//!
//! A device that meets a greater life of its own owned lane restates the lane above it, as a copy that
//! was brought back has to. If a copy of it is alive elsewhere, that one meets the new life and does
//! the same. So a device does it once, and again only after a while; and whoever sees a lane's life
//! change so often knows what that means.

use std::collections::{BTreeMap, VecDeque};

use super::{Engine, Event, Now};
use crate::id::DeviceId;
use crate::version::{Life, OwnedVector};

/// Lives that a lane begins within [`super::Config::restate_ms`] if two copies of its device are alive.
/// One that was brought back begins one, or another if a peer knows of a greater one.
const LIVES: usize = 3;

/// What is known of devices that may be there twice.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// When this device last restated its lane above a life that it met.
    outbid_at: Option<u64>,
    /// The greatest life of each other lane, and when greater ones were met.
    lives: BTreeMap<DeviceId, (Life, VecDeque<u64>)>,
}

impl Engine {
    /// Whether this device may restate its lane above a life that it met. If it has done so a moment
    /// ago, that life is of another copy of it.
    pub(super) fn may_outbid(&mut self, now: Now) -> bool {
        let wait = self.config.restate_ms;
        let last = self.twins.outbid_at;
        if last.is_some_and(|last| now.steady_ms < last.saturating_add(wait)) {
            self.event(Event::Twin { device: self.identity.device });
            return false;
        }
        self.twins.outbid_at = Some(now.steady_ms);
        true
    }

    /// Notes which lives the lanes of others have.
    pub(super) fn note_lives(&mut self, owned: &OwnedVector, now: Now) {
        let since = now.steady_ms.saturating_sub(self.config.restate_ms);
        for (device, head) in owned.iter().filter(|(device, _)| **device != self.identity.device) {
            let (last, met) =
                self.twins.lives.entry(*device).or_insert_with(|| (head.life, VecDeque::new()));
            if head.life <= *last {
                continue;
            }
            *last = head.life;
            met.retain(|at| *at >= since);
            met.push_back(now.steady_ms);
            if met.len() >= LIVES {
                met.clear();
                self.effects.push(super::Effect::Event(Event::Twin { device: *device }));
            }
        }
    }
}
