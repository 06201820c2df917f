//! What stands behind an envelope, kind by kind.

use bytes::Bytes;

use super::recall::{decode_of, decode_places, encode_of, encode_places};
use super::{
    Answer, Ask, Changes, DigestReport, Held, Hello, Message, OwnedPull, Page, Refusal, State,
};
use crate::codec::{CodecError, Reader, Writer};
use crate::id::DeviceId;
use crate::limits::{MAX_CERTS, MAX_ORIGINS, MAX_TEXT_BYTES};
use crate::store::{HistoryPage, WantedHistory};
use crate::version::Life;

impl Message {
    pub(super) fn encode_payload(&self, w: &mut Writer) -> Result<(), CodecError> {
        match self {
            Message::Hello(hello) => hello.encode(w),
            Message::Vector(state) => state.encode(w),
            Message::Changes(changes) => changes.encode(w),
            Message::Pull { id, from } => {
                w.var(*id);
                w.count(from.len());
                for (origin, seq) in from {
                    w.origin(origin);
                    w.var(*seq);
                }
            }
            Message::OwnedPull(pull) => pull.encode(w),
            Message::More { device, life, credit: n }
            | Message::Void { device, life, target: n } => {
                w.raw(&device.0);
                life.encode(w);
                w.var(*n);
            }
            Message::Page(page) => page.encode(w)?,
            Message::Covered { id: n } | Message::Ping { token: n } => w.var(*n),
            Message::Digest(report) => report.encode(w),
            Message::Membership(certificates) => {
                w.count(certificates.len());
                for certificate in certificates {
                    w.bytes(certificate);
                }
            }
            Message::Pong { token, clock_ms, state } => {
                w.var(*token);
                w.var(*clock_ms);
                state.encode(w);
            }
            Message::Error { refusal, text } => {
                w.u8(*refusal as u8);
                w.text(text);
            }
            Message::Reset { pull } => w.var(*pull),
            Message::Ask { session, turn, ask } => {
                w.var(*session);
                w.var(*turn);
                ask.encode(w);
            }
            Message::Answer { session, turn, answer } => {
                w.var(*session);
                w.var(*turn);
                answer.encode(w);
            }
            Message::Recall { id, of, keys } => {
                w.var(*id);
                encode_of(w, of.as_ref());
                encode_places(w, keys);
            }
            Message::Recalled { id, of, held } => {
                w.var(*id);
                encode_of(w, of.as_ref());
                held.encode(w);
            }
            Message::History { id, wanted } => {
                w.var(*id);
                wanted.encode(w);
            }
            Message::Past { id, page } => {
                w.var(*id);
                page.encode(w);
            }
            Message::Unknown { .. } => {}
        }
        Ok(())
    }
}

pub(super) fn decode(kind: u8, payload: &Bytes) -> Result<Message, CodecError> {
    let mut r = Reader::new(payload);
    let r = &mut r;
    Ok(match kind {
        1 => Message::Hello(Hello::decode(r)?),
        2 => Message::Vector(State::decode(r)?),
        3 => Message::Changes(Changes::decode(r, payload)?),
        4 => {
            let id = r.var("a pull's id")?;
            let n = r.items(MAX_ORIGINS, 42, "a pull's origins")?;
            let mut from = Vec::with_capacity(n);
            for _ in 0..n {
                from.push((r.origin()?, r.var("a seq")?));
            }
            Message::Pull { id, from }
        }
        5 => Message::OwnedPull(OwnedPull::decode(r)?),
        6 => {
            let (device, life) = (DeviceId(r.array("a device id")?), Life::decode(r)?);
            Message::More { device, life, credit: r.var("a credit")? }
        }
        7 => Message::Page(Page::decode(r, payload, false)?),
        8 => Message::Covered { id: r.var("a pull's id")? },
        9 => {
            let (device, life) = (DeviceId(r.array("a device id")?), Life::decode(r)?);
            Message::Void { device, life, target: r.var("a target")? }
        }
        10 => Message::Digest(DigestReport::decode(r)?),
        11 => {
            let n = r.items(MAX_CERTS, 1, "certificates")?;
            let mut certificates = Vec::with_capacity(n);
            for _ in 0..n {
                let one = r.bytes(MAX_TEXT_BYTES * 4, "a certificate")?;
                certificates.push(Bytes::copy_from_slice(one));
            }
            Message::Membership(certificates)
        }
        12 => Message::Ping { token: r.var("a token")? },
        13 => {
            let (token, clock_ms) = (r.var("a token")?, r.var("a clock")?);
            Message::Pong { token, clock_ms, state: State::decode(r)? }
        }
        14 => {
            let refusal = match r.u8("a refusal")? {
                0 => Refusal::Version,
                1 => Refusal::Library,
                _ => Refusal::Protocol,
            };
            Message::Error { refusal, text: r.text(MAX_TEXT_BYTES, "a refusal")?.to_owned() }
        }
        15 => Message::Reset { pull: r.var("a pull's id")? },
        16 => {
            let (session, turn) = (r.var("a session")?, r.var("a turn")?);
            Message::Ask { session, turn, ask: Ask::decode(r)? }
        }
        17 => {
            let (session, turn) = (r.var("a session")?, r.var("a turn")?);
            Message::Answer { session, turn, answer: Answer::decode(r)? }
        }
        18 => {
            let (id, of) = (r.var("a recall's id")?, decode_of(r)?);
            Message::Recall { id, of, keys: decode_places(r)? }
        }
        19 => {
            let (id, of) = (r.var("a recall's id")?, decode_of(r)?);
            Message::Recalled { id, of, held: Held::decode(r)? }
        }
        20 => {
            let id = r.var("a question's id")?;
            Message::History { id, wanted: WantedHistory::decode(r)? }
        }
        21 => {
            let id = r.var("a question's id")?;
            Message::Past { id, page: HistoryPage::decode(r, payload)? }
        }
        22 => Message::Page(Page::decode(r, payload, true)?),
        kind => Message::Unknown { kind },
    })
}
