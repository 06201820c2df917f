//! Which device a person means: a full id, a unique prefix of at least four digits, or a name.

use driftless::{DeviceId, Library, Member};

use crate::failure::{Exit, Failure};

const MIN_PREFIX: usize = 4;

/// The member that `selector` means.
pub(crate) fn member(library: &Library, selector: &str) -> Result<Member, Failure> {
    let members = library.members()?;
    one(&members, selector).cloned()
}

/// The device id that `selector` means.
pub(crate) fn device(library: &Library, selector: &str) -> Result<DeviceId, Failure> {
    Ok(member(library, selector)?.device)
}

fn one<'a>(members: &'a [Member], selector: &str) -> Result<&'a Member, Failure> {
    let prefix = selector.to_ascii_lowercase();
    let is_id = prefix.len() >= MIN_PREFIX && prefix.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = |member: &&Member| {
        member.name == selector || is_id && member.device.to_string().starts_with(&prefix)
    };
    let found: Vec<&Member> = members.iter().filter(fits).collect();
    match found[..] {
        [] => {
            let message = format!("no device of this library is called {selector:?}");
            Err(Failure::not_found("no_device", message).next("driftless devices"))
        }
        [one] => Ok(one),
        _ => {
            let list: Vec<String> =
                found.iter().map(|member| format!("{} {}", member.device, member.name)).collect();
            let message = format!("{selector:?} is more than one device: {}", list.join(", "));
            Err(Failure::new(Exit::Usage, "ambiguous", message)
                .next("run it again with the id of one of them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(byte: u8, name: &str) -> Member {
        Member {
            device: DeviceId([byte; 32]),
            name: name.to_owned(),
            issued_by: DeviceId([byte; 32]),
            issued_ms: 0,
            os: None,
            addresses: vec![],
            evicted: false,
            here: false,
        }
    }

    #[test]
    fn devices_are_found_by_name_id_and_prefix() {
        let members = [named(0xab, "phone"), named(0xcd, "laptop"), named(0xce, "laptop")];
        let found = |selector: &str| one(&members, selector).map(|member| member.device.0[0]);
        assert_eq!(found("phone"), Ok(0xab));
        assert_eq!(found("ABAB"), Ok(0xab));
        assert_eq!(found(&"cd".repeat(32)), Ok(0xcd));
        for none in ["aba", "Phone", "", "cdce"] {
            assert_eq!(found(none).unwrap_err().exit, Exit::NotFound, "{none}");
        }
        let ambiguous = found("laptop").unwrap_err();
        assert_eq!(ambiguous.exit, Exit::Usage);
        assert!(ambiguous.message.contains(&"cd".repeat(32)), "{ambiguous}");
    }
}
