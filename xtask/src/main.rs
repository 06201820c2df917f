//! House rules that would rot as prose, kept as programs: `cargo xtask tidy`, `cargo xtask cost`.

mod cost;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = workspace_root().and_then(|root| match words.as_slice() {
        ["tidy"] => tidy::run(&root).map(Some),
        ["cost"] => cost::run(&root, false).map(Some),
        ["cost", "--metrics"] => cost::metrics(&root).map(Some),
        ["cost", "--keep"] => cost::run(&root, true).map(Some),
        _ => Ok(None),
    });
    match outcome {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::from(1),
        Ok(None) => {
            eprintln!(
                "usage: cargo xtask tidy           check the rules of the house\n       \
                 cargo xtask cost [--keep]  count what the hot paths cost; keep the counts\n       \
                 cargo xtask cost --metrics count what counting costs"
            );
            ExitCode::from(2)
        }
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::from(1)
        }
    }
}

/// The workspace that cargo runs us in; asked at run time, as a checkout may be moved after the build.
fn workspace_root() -> Result<PathBuf, String> {
    let ours = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("start it as `cargo xtask`: CARGO_MANIFEST_DIR is not set")?;
    Path::new(&ours)
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("{} has no parent folder", Path::new(&ours).display()))
}
