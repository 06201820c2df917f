//! `devices`.

use driftless::core::limits::MAX_TEXT_BYTES;
use driftless::{Device, Error};

use super::{Context, gone, select};
use crate::answer::{Answer, DeviceRow, Record, Rows};
use crate::args::DevicesCommand;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

pub(super) fn run(
    context: Context<'_>,
    command: Option<DevicesCommand>,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    match command {
        None => out.rows(Rows::Devices(list(context)?)).map_err(gone)?,
        Some(DevicesCommand::Rename { device, name }) => {
            out.answer(Answer::Record(rename(context, &device, name)?)).map_err(gone)?;
        }
        Some(DevicesCommand::Evict { device }) => {
            out.answer(Answer::Record(evict(context, &device)?)).map_err(gone)?;
        }
    }
    Ok(Exit::Done)
}

fn list(context: Context<'_>) -> Result<Vec<DeviceRow>, Failure> {
    let members = context.library.members()?;
    let peers = context.library.status()?.peers;
    let online = |device| peers.iter().any(|peer| peer.member.device == device && peer.online);
    let row = |member: &driftless::Member| DeviceRow {
        id: member.device.to_string(),
        name: member.name.clone(),
        state: if member.evicted { "evicted" } else { "active" }.to_owned(),
        here: member.here,
        online: member.here && context.daemon || online(member.device),
        os: member.os.clone(),
        addresses: member.addresses.clone(),
        invited_by: member.issued_by.to_string(),
        since: text::time(member.issued_ms),
    };
    let mut rows: Vec<DeviceRow> = members.iter().map(row).collect();
    rows.sort_by(|a, b| (&a.since, &a.id).cmp(&(&b.since, &b.id)));
    Ok(rows)
}

fn evict(context: Context<'_>, device: &str) -> Result<Record, Failure> {
    let member = select::member(context.library, device)?;
    context.library.evict(member.device)?;
    let did = format!(
        "{} is no longer waited for; it stays a member, and counts again when it comes back",
        text::plain(&member.name)
    );
    Ok(Record { id: member.device.to_string(), did })
}

fn rename(context: Context<'_>, device: &str, name: String) -> Result<Record, Failure> {
    let member = select::member(context.library, device)?;
    let name = name.trim().to_owned();
    if name.is_empty() || name.len() > MAX_TEXT_BYTES || name.chars().any(char::is_control) {
        let message =
            format!("a device's name is a line of text, of {MAX_TEXT_BYTES} bytes at most");
        return Err(Failure::usage(message));
    }
    let did = format!("{} is now called {name}", text::plain(&member.name));
    let id = Device::row_id(&member.device);
    context.library.write(move |tx| {
        tx.update(id, |row: &mut Device| row.name = name)?;
        Ok::<_, Error>(())
    })?;
    Ok(Record { id: member.device.to_string(), did })
}
