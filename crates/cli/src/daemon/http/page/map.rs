//! The map of the devices: this one in the middle, the others around it, and the links between.

use std::f64::consts::PI;

use super::words::{Tone, round_trip};
use crate::answer::{PeerState, StatusReport};
use crate::text::count;

/// Devices that are drawn; a list has them all.
const DRAWN: usize = 12;
/// The room, in the drawing's units.
const MIDDLE: (f64, f64) = (180.0, 125.0);
const REACH: (f64, f64) = (132.0, 84.0);
/// Characters of a name that fit under a device.
const NAME: usize = 14;

/// A device on the map.
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) short: String,
    pub(super) tone: Tone,
    pub(super) x: String,
    pub(super) y: String,
    /// How far below it its name stands: on the side where no link is.
    pub(super) below: i32,
    /// Where the link's words stand.
    pub(super) half_x: String,
    pub(super) half_y: String,
    /// How its link is: `live`, `busy`, `off` or `cut`.
    pub(super) link: &'static str,
    pub(super) words: String,
}

/// The map.
pub(super) struct Map {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) short: String,
    pub(super) tone: Tone,
    pub(super) nodes: Vec<Node>,
    /// How many are not drawn.
    pub(super) more: usize,
}

/// How good it is that a device stands like this.
pub(super) fn tone(peer: &PeerState) -> Tone {
    match () {
        () if peer.twin => Tone::Bad,
        () if peer.evicted => Tone::Plain,
        () if peer.online && peer.behind == 0 && peer.ahead == 0 => Tone::Good,
        () => Tone::Watch,
    }
}

/// How a device's link is, in a word or two.
pub(super) fn link(peer: &PeerState) -> (&'static str, String) {
    let lag = peer.behind.saturating_add(peer.ahead);
    match () {
        () if peer.paused => ("cut", "paused".to_owned()),
        () if peer.evicted && !peer.online => ("off", "evicted".to_owned()),
        () if !peer.online && !peer.met => ("off", "not met yet".to_owned()),
        () if !peer.online => ("off", "offline".to_owned()),
        () if peer.ahead > 0 && peer.behind == 0 => {
            ("busy", format!("{} to come", count(peer.ahead)))
        }
        () if lag > 0 => ("busy", format!("{} behind", count(peer.behind))),
        () => ("live", round_trip(peer.rtt_ms).unwrap_or_else(|| "linked".to_owned())),
    }
}

/// Draws the map.
pub(super) fn map(status: &StatusReport, here: Tone) -> Map {
    let drawn: Vec<&PeerState> = status.peers.iter().take(DRAWN).collect();
    // A pair stands side by side.
    let middle = if drawn.len() == 1 { (MIDDLE.0 - REACH.0 / 1.5, MIDDLE.1) } else { MIDDLE };
    let at = |value: f64| format!("{value:.1}");
    let nodes = drawn.iter().enumerate().map(|(nth, peer)| {
        let (x, y) = place(nth, drawn.len());
        let (link, words) = link(peer);
        Node {
            id: peer.device_id.clone(),
            name: peer.name.clone(),
            short: short(&peer.name),
            tone: tone(peer),
            x: at(x),
            y: at(y),
            below: if y < middle.1 - 20.0 { -20 } else { 29 },
            half_x: at(middle.0 + (x - middle.0) * 0.5),
            half_y: at(middle.1 + (y - middle.1) * 0.5),
            link,
            words,
        }
    });
    Map {
        x: at(middle.0),
        y: at(middle.1),
        short: short(&status.device),
        tone: here,
        nodes: nodes.collect(),
        more: status.peers.len().saturating_sub(DRAWN),
    }
}

fn place(nth: usize, of: usize) -> (f64, f64) {
    if of == 1 {
        return (MIDDLE.0 + REACH.0 / 1.5, MIDDLE.1);
    }
    let begin = if of == 2 { PI } else { -PI / 2.0 };
    #[expect(clippy::cast_precision_loss, reason = "a dozen at most")]
    let angle = begin + 2.0 * PI * nth as f64 / of as f64;
    (MIDDLE.0 + REACH.0 * angle.cos(), MIDDLE.1 + REACH.1 * angle.sin())
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    let cut: String = name.chars().take(NAME - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_a_place_of_its_own_within_the_drawing() {
        for of in 1..=DRAWN {
            let places: Vec<(f64, f64)> = (0..of).map(|nth| place(nth, of)).collect();
            for (nth, (x, y)) in places.iter().enumerate() {
                assert!((30.0..330.0).contains(x) && (30.0..220.0).contains(y), "{x} {y}");
                let near = |other: &(f64, f64)| (x - other.0).hypot(y - other.1) < 30.0;
                assert!(!places[..nth].iter().any(near), "{nth} of {of}");
            }
        }
    }

    #[test]
    fn long_names_are_cut_between_letters() {
        assert_eq!(short("a desk"), "a desk");
        assert_eq!(short("Öde Öde Öde Öde Öde"), "Öde Öde Öde Ö…");
    }
}
