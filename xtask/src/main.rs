//! House rules that would rot as prose, kept as a program: `cargo xtask tidy`.

mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => match workspace_root().and_then(|root| tidy::run(&root)) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(why) => {
                eprintln!("xtask: {why}");
                ExitCode::from(1)
            }
        },
        _ => {
            eprintln!("usage: cargo xtask tidy    check the rules of the house");
            ExitCode::from(2)
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
