//! Cost by size and by number of devices: the library of [`large`](super::large) at several sizes, and
//! the commits of [`propagation`](super::propagation) with several devices, as figures and as a drawing.

use super::figure::{Figure, median};
use super::place::Bench;
use super::plot::{Line, Panel, svg};
use super::propagation::{self, Measured};
use super::{figure, large};
use crate::failure::Failure;

/// Sizes in entries; those above `--rows` are left out.
const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const MOST: u32 = 1_000_000;
const MOST_QUICK: u32 = 10_000;
const DEVICES: [usize; 4] = [1, 2, 5, 10];

/// What of a large library is drawn: the figure, and its name in the drawing.
const DRAWN: [(&str, &str); 6] = [
    ("large_backfill", "a new device has all"),
    ("large_start", "start to ready"),
    ("large_find_part", "find a part of a name"),
    ("large_catch_up", "ten missed changes"),
    ("large_find_tag", "find by tag"),
    ("large_reconnect", "meet with nothing to do"),
];

pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let most = bench.rows.unwrap_or(if bench.quick { MOST_QUICK } else { MOST });
    let plot = bench.plot.clone();
    let mut figures = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        bench.begin("curve", &format!("{size} entries"))?;
        bench.rows = Some(size);
        figures.extend(large::run(bench)?.into_iter().map(|figure| (size, figure)));
    }
    bench.begin("curve", "1 to 10 devices")?;
    let fans = propagation::fan_out(bench, DEVICES)?;
    if let Some(file) = plot {
        let drawing = svg(&[by_size(&figures), by_devices(&fans)]);
        std::fs::write(&file, drawing)
            .map_err(|error| Failure::io(&format!("writing {}", file.display()), &error))?;
    }
    let sized = figures.into_iter().map(|(size, figure)| {
        let name = figure.name.replacen("large", "curve", 1);
        Figure { name: format!("{name}_{size}").into(), ..figure }
    });
    let fanned = DEVICES.iter().zip(&fans).map(|(devices, fan)| {
        let pairs: Vec<(f64, f64)> = fan.iter().map(|one| (one.ours, one.bare)).collect();
        let words = ("until the slowest of so many can read a commit", propagation::BARE);
        let figure = Figure::of(("curve_devices", "ms"), words, &pairs);
        Figure { name: format!("curve_devices_{devices}").into(), ..figure }
    });
    Ok(sized.chain(fanned).collect())
}

fn by_size(figures: &[(u32, Figure)]) -> Panel {
    let line = |(name, words): (&str, &'static str)| {
        let of = figures.iter().filter(|(_, figure)| figure.name == name);
        let ms = |figure: &Figure| match figure.unit {
            "s" => figure.value * 1e3,
            _ => figure.value,
        };
        Line { words, points: of.map(|(size, it)| (f64::from(*size), ms(it))).collect() }
    };
    let limit = figures.iter().filter(|(_, figure)| figure.name == "large_backfill");
    let plain = Line {
        words: "plain SQLite inserts all",
        points: limit.map(|(size, it)| (f64::from(*size), it.limit * 1e3)).collect(),
    };
    let lines = DRAWN.map(line).into_iter().chain([plain]).collect();
    Panel { title: "milliseconds by entries in the library", x: "entries", lines }
}

fn by_devices(fans: &[Vec<Measured>]) -> Panel {
    let line = |words, of: &dyn Fn(&[Measured]) -> f64| {
        let point = |(devices, fan): (&usize, &Vec<Measured>)| {
            #[expect(clippy::cast_precision_loss, reason = "ten at most")]
            let devices = *devices as f64;
            (devices, of(fan))
        };
        Line { words, points: DEVICES.iter().zip(fans).map(point).collect() }
    };
    let ours = |fan: &[Measured]| median(fan.iter().map(|one| one.ours));
    let late = |fan: &[Measured]| figure::at(fan.iter().map(|one| one.ours), 19, 20);
    let bare = |fan: &[Measured]| median(fan.iter().map(|one| one.bare));
    let echo = |fan: &[Measured]| median(fan.iter().map(|one| one.echo));
    Panel {
        title: "milliseconds until the slowest device can read a commit",
        x: "devices",
        lines: vec![
            line("95 of 100 commits", &late),
            line("median", &ours),
            line("fsync and bare QUIC", &bare),
            line("a datagram and back", &echo),
        ],
    }
}
