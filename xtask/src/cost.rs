//! What the hot paths cost, in instructions: `cargo xtask cost` counts them under callgrind and
//! compares them with `xtask/cost.txt`. Instructions are the same on a busy machine as on an idle one,
//! which times are not.
//!
//! Counts that have grown or shrunk fail the run: whoever changes them writes down the new ones
//! (`cargo xtask cost --keep`) in the same commit, and says there why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The parts of `crates/store/examples/cost.rs`, and what each counts.
const PARTS: [(&str, &str); 5] = [
    ("commit", "a commit of one shared change, with its log"),
    ("rows", "an owned row, a thousand to a transaction"),
    ("encode", "a row read and encoded into a page"),
    ("apply", "a row of a page decoded and written"),
    ("merge", "a change of another device merged into a conflict"),
];
/// Where the counts are kept.
const KEPT: &str = "xtask/cost.txt";
/// The writer's thread.
const WRITER: &str = "driftless::writer::Writer::run";
/// What is called for nothing but counting.
const COUNTING: [(&str, &str); 8] = [
    ("driftless::metrics::counters::Counters::batch", "how long a batch took"),
    ("driftless::metrics::counters::Counters::message", "messages, bytes, changes both ways"),
    ("driftless::metrics::counters::Counters::arrived", "what is to be visible"),
    ("driftless::metrics::counters::Counters::visible", "how old what came is"),
    ("driftless::metrics::counters::Counters::event", "what the engine tells"),
    ("driftless::metrics::counters::Counters::phase", "phases"),
    ("driftless_core::engine::Engine::count", "changes by model"),
    ("driftless_core::engine::Engine::count_superseded", "changes of which nothing shows"),
];
/// What is called for it every half second and every ten seconds of work: under callgrind, which is slow,
/// more often for the same work, and the more so the busier the machine is.
const BY_THE_CLOCK: [(&str, &str); 3] = [
    ("driftless::writer::chores::<impl driftless::writer::Writer>::gauges", "who lacks what"),
    (
        "driftless::metrics::trend::<impl driftless::writer::Writer>::sample_trend",
        "the trend, measured",
    ),
    ("driftless_store::trend::Trend::write", "the trend, written"),
];
/// The most that counting may cost.
const MOST_PER_CENT: f64 = 2.0;
/// By how many per cent counts may differ: compilers and C libraries do.
const TOLERANCE: u64 = 5;

/// Counts, and compares with what is kept or keeps it; true if nothing is out of bounds.
pub(crate) fn run(root: &Path, keep: bool) -> Result<bool, String> {
    let program = built(root, "cost")?;
    let mut found = BTreeMap::new();
    for (part, _) in PARTS {
        found.insert(part, count(&program, part)?);
    }
    let path = root.join(KEPT);
    if keep {
        std::fs::write(&path, written(&found)).map_err(|error| format!("{KEPT}: {error}"))?;
        println!("cost: kept in {KEPT}");
        return Ok(true);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{KEPT}: {error}"))?;
    let kept = read(&text)?;
    let mut sound = true;
    for (part, words) in PARTS {
        let verdict = judge(found[part], kept.get(part).copied());
        sound &= verdict.is_ok();
        let told = verdict.unwrap_or_else(|why| why);
        println!("cost: {part:<7} {:>9} instructions, {told}; {words}", found[part]);
    }
    if !sound {
        println!("cost: if that is meant, `cargo xtask cost --keep`, and say why in the commit");
    }
    Ok(sound)
}

/// Builds an example as tests are built, so that CI has built it already.
fn built(root: &Path, example: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // With the features that all packages together ask for, as tests are.
    build.args(["build", "--workspace", "--example", example]);
    succeed(build.current_dir(root))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("debug/examples").join(example))
}

/// Which part of the writer's instructions is counting, while one library writes and another applies;
/// true if it is within its bound.
pub(crate) fn metrics(root: &Path) -> Result<bool, String> {
    let program = built(root, "counting")?;
    let profile = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
    let out = format!("--callgrind-out-file={}", profile.display());
    let run = succeed(Command::new("valgrind").args(["--tool=callgrind", &out]).arg(program));
    let told = run.and_then(|_| {
        std::fs::read_to_string(&profile).map_err(|error| format!("{}: {error}", profile.display()))
    });
    let gone = std::fs::remove_file(&profile);
    let told = told?;
    let told = inclusive(&told);
    gone.map_err(|error| format!("{}: {error}", profile.display()))?;
    let all = found(&told, WRITER)?;
    let of = |functions: &[(&str, &str)]| {
        let each = functions.iter().map(|(name, words)| {
            let found = found(&told, name)?;
            println!("cost: {:>6.3} % {words} ({name})", per_cent(found, all));
            Ok(found)
        });
        each.sum::<Result<u64, String>>()
    };
    let (sum, timed) = (of(&COUNTING)?, of(&BY_THE_CLOCK)?);
    let part = per_cent(sum, all);
    println!("cost: {part:>6.3} % of {all} instructions of two writers is counting");
    println!("cost: {:>6.3} % with what goes by the clock", per_cent(sum + timed, all));
    if part > MOST_PER_CENT {
        println!("cost: that is MORE than {MOST_PER_CENT} %");
    }
    Ok(part <= MOST_PER_CENT)
}

/// The instructions of a function. One that was renamed would cost nothing, and so would one that the
/// example has stopped to call: neither is believed.
fn found(profile: &BTreeMap<&str, u64>, function: &str) -> Result<u64, String> {
    let found = profile.get(function).copied();
    found.ok_or_else(|| format!("{function} is not in the profile: was it renamed?"))
}

fn per_cent(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let ratio = part as f64 / whole.max(1) as f64;
    ratio * 100.0
}

/// The instructions of all calls of each function, with what it called, of a profile of callgrind. Names
/// stand behind their numbers, the first time.
fn inclusive(profile: &str) -> BTreeMap<&str, u64> {
    let (mut names, mut sums) = (BTreeMap::new(), BTreeMap::new());
    let mut called = "";
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(said) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            let (number, name) = said.split_once(' ').unwrap_or((said, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            if line.starts_with('c') {
                called = names.get(number).copied().unwrap_or("");
            }
        } else if line.starts_with("calls=") {
            let cost = lines.next().and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
            *sums.entry(called).or_default() += cost.unwrap_or(0);
        }
    }
    sums
}

/// Instructions of one of the things that a part does many times.
fn count(program: &Path, part: &str) -> Result<u64, String> {
    let output = succeed(
        Command::new("valgrind")
            .args([
                "--tool=callgrind",
                "--callgrind-out-file=/dev/null",
                "--collect-atstart=no",
                "--toggle-collect=cost::measured*",
            ])
            .arg(program)
            .arg(part),
    )?;
    let times: u64 = parsed(&String::from_utf8_lossy(&output.stdout), "")?;
    let all = parsed(&String::from_utf8_lossy(&output.stderr), "Collected : ")?;
    if all == 0 || times == 0 {
        return Err(format!("callgrind counted nothing in {part}"));
    }
    Ok(all / times)
}

/// The number behind `mark` in one of these lines.
fn parsed(text: &str, mark: &str) -> Result<u64, String> {
    let number = text.lines().find_map(|line| line.split_once(mark)?.1.trim().parse().ok());
    number.ok_or_else(|| format!("there is no number behind {mark:?} in: {text}"))
}

fn succeed(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| {
        format!("{} cannot be started: {error}", command.get_program().display())
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed: {said}", command.get_program().display()))
}

/// Whether a count is what it was; in words.
fn judge(found: u64, kept: Option<u64>) -> Result<String, String> {
    let Some(kept) = kept else { return Err("of which none is kept".into()) };
    let words = |what: &str| format!("{what} {kept}");
    if found * 100 > kept * (100 + TOLERANCE) {
        Err(words("MORE than the kept"))
    } else if found * 100 < kept * (100 - TOLERANCE) {
        Err(words("fewer (keep them) than the kept"))
    } else {
        Ok(words("as the kept"))
    }
}

fn written(counts: &BTreeMap<&str, u64>) -> String {
    let head = "# Instructions of one of each, as `cargo xtask cost --keep` counted them; see docs/performance.md";
    let lines = PARTS.iter().map(|(part, _)| format!("\n{part} {}", counts[part]));
    format!("{head}{}\n", lines.collect::<String>())
}

fn read(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let pair = line
                .split_once(' ')
                .and_then(|(part, count)| Some((part.to_owned(), count.parse().ok()?)));
            pair.ok_or_else(|| format!("{KEPT}: {line:?} is no part and its count"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_the_tolerance_are_told() {
        assert!(judge(1_050, Some(1_000)).is_ok() && judge(950, Some(1_000)).is_ok());
        assert!(judge(1_060, Some(1_000)).is_err() && judge(940, Some(1_000)).is_err());
        assert!(judge(1, None).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let counts: BTreeMap<&str, u64> = PARTS.iter().map(|(part, _)| (*part, 7)).collect();
        let read = read(&written(&counts)).unwrap();
        assert!(read.len() == PARTS.len() && read.values().all(|count| *count == 7));
        assert!(super::read("commit many").is_err());
    }

    #[test]
    fn a_function_is_found_in_a_profile() {
        let told = "fn=(1) main\n3 10\ncfn=(2) a::count\ncalls=2 7\n4 100\nfn=(2)\n7 90\ncfn=(3) b\n\
                    calls=1 9\n+1 5\nfn=(1)\ncfn=(2)\ncalls=1 7\n5 20\n";
        let told = inclusive(told);
        assert_eq!(told, [("a::count", 120), ("b", 5)].into());
        assert_eq!(found(&told, "a::count"), Ok(120));
        let missed = found(&told, "a::counted").unwrap_err();
        assert!(missed.contains("a::counted"), "what is missed is named: {missed}");
    }

    #[test]
    fn callgrind_is_understood() {
        let said = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(parsed(said, "Collected : "), Ok(123_456));
        assert!(parsed("==7== Events", "Collected : ").is_err());
        assert_eq!(parsed("600\n", ""), Ok(600));
    }
}
