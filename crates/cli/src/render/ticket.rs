//! A ticket, and what becomes of it.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::answer::{Invitation, Pairing};
use crate::text::plain;

pub(super) fn invitation(invitation: &Invitation, qr: bool) -> String {
    let mut out = String::new();
    if qr {
        out.push_str(&code(&invitation.ticket));
    }
    out.push_str(&format!("{}\n", invitation.ticket));
    out.push_str("\nOn the other device: driftless join TICKET\n");
    out.push_str(&format!("It lets one device in, until {}\n", invitation.expires));
    if !invitation.reachable {
        out.push_str("The daemon has to run when it is used: driftless up\n");
    }
    out
}

pub(super) fn pairing(pairing: &Pairing) -> String {
    let name = plain(&pairing.name);
    if pairing.joined {
        return format!("{name} has joined\n");
    }
    let (left, right) = pairing.code.split_at(pairing.code.len() / 2);
    format!("{name} wants to join; it must show the code  {left} {right}\n")
}

/// A QR code in half blocks. Upper case makes it smaller, and tickets are read in either case.
fn code(ticket: &str) -> String {
    match QrCode::with_error_correction_level(ticket.to_uppercase(), EcLevel::L) {
        Ok(code) => format!("{}\n", code.render::<Dense1x2>().build()),
        Err(error) => format!("(no QR code: {error})\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_fits_a_terminal_as_a_picture() {
        let picture = code(&format!("driftless1{}", "a".repeat(180)));
        let width = picture.lines().map(|line| line.chars().count()).max().unwrap();
        assert!((30..80).contains(&width), "{width}");
        assert!(code(&"a".repeat(10_000)).contains("no QR code"));
    }
}
