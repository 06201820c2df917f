//! Prints which drives paths are on: `cargo run --example volume -- / /home`.

use std::error::Error;
use std::path::Path;

use driftless_catalog::scan::volume_of;

fn main() -> Result<(), Box<dyn Error>> {
    for path in std::env::args_os().skip(1) {
        println!("{:#?}", volume_of(Path::new(&path))?);
    }
    Ok(())
}
