//! What a device is called if nobody says.

/// The machine's name, without its domain.
pub(crate) fn device_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let short = name.split('.').next().unwrap_or_default().trim();
    if short.is_empty() { "device".to_owned() } else { short.to_owned() }
}
