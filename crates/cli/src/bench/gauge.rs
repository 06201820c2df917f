//! What something costs: time on the wall, and time on processors.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::failure::Failure;

/// What it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Seconds.
    pub(super) wall: f64,
    /// Seconds of all this process's threads together.
    pub(super) cpu: f64,
}

/// Runs something, and tells what it cost.
pub(super) fn cost<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Cost), Failure> {
    let (begun, before) = (Instant::now(), cpu());
    let value = run()?;
    let wall = begun.elapsed().as_secs_f64();
    Ok((value, Cost { wall, cpu: cpu() - before }))
}

/// Seconds that this process has been on processors.
pub(super) fn cpu() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// Seconds on a clock that all processes of this machine share and that nobody sets.
pub(super) fn clock() -> f64 {
    seconds(ClockId::Monotonic)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    Duration::try_from(time).map_or(0.0, |time| time.as_secs_f64())
}

/// What the system tells of another process; nothing on systems without `/proc`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    /// Seconds on processors so far, in steps of ten milliseconds.
    pub(super) cpu: f64,
    /// The most memory that it has held, in MiB.
    pub(super) peak_mib: f64,
}

impl Process {
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { cpu: cpu_of(&stat)?, peak_mib: peak_of(&status)? })
    }
}

/// What all threads of another process have done so far; nothing on systems without `/proc`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Seconds on processors, to the nanosecond: a process at rest does little in ten milliseconds.
    pub(super) cpu: f64,
    /// How often they waited for something and went on.
    pub(super) woken: f64,
}

impl Load {
    pub(super) fn of(pid: u32) -> Option<Self> {
        let mut load = Self { cpu: 0.0, woken: 0.0 };
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let thread = thread.ok()?.path();
            // A thread that ends meanwhile is left out.
            let (Ok(stat), Ok(status)) = (
                std::fs::read_to_string(thread.join("schedstat")),
                std::fs::read_to_string(thread.join("status")),
            ) else {
                continue;
            };
            load.cpu += on_processors(&stat)?;
            load.woken += waited(&status)?;
        }
        Some(load)
    }
}

/// From `/proc/PID/task/TID/schedstat`: nanoseconds on processors, waiting for one, and turns.
fn on_processors(stat: &str) -> Option<f64> {
    let nanoseconds: f64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

fn waited(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// From `/proc/PID/stat`: the name, which may hold anything, is in parentheses.
fn cpu_of(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((ticks(11)? + ticks(12)?) / f64::from(per_second))
}

fn peak_of(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap();
        assert_eq!(cpu_of(stat), Some(200.0 / f64::from(per_second)));
        assert_eq!(peak_of("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2.0));
        assert_eq!((cpu_of("nonsense"), peak_of("nonsense")), (None, None));
        assert_eq!(on_processors("1500000000 7 3\n"), Some(1.5));
        assert_eq!(waited("Threads:\t2\nvoluntary_ctxt_switches:\t12\n"), Some(12.0));
        assert_eq!((on_processors(""), waited("")), (None, None));
    }

    #[test]
    fn processor_time_is_counted() {
        let ((), cost) = cost(|| {
            let begun = cpu();
            while cpu() - begun < 0.005 {}
            Ok(())
        })
        .unwrap();
        assert!(cost.cpu >= 0.005 && cost.wall > 0.0, "{cost:?}");
    }
}
