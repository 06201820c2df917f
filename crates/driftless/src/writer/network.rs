//! The writer's side of the network: frames in, frames out, members and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bytes::Bytes;
use driftless_core::codec::CodecError;
use driftless_core::engine::{Input, Now};
use driftless_core::id::DeviceId;
use driftless_core::message::{ENVELOPE_VERSION, Envelope, Message, Refusal};
use driftless_core::neighbours::ALL_UP_TO;
use driftless_net::{Class, Cut, NetEvent, SendError};

use super::Writer;
use super::spans::Passing;
use crate::device::Device;
use crate::error::Error;
use crate::metrics::Direction;
use crate::{members, reader, time};

/// Where routes that were given by hand or came with a ticket are kept, by device.
const ROUTES: &str = "route";
/// Where the latest address at which a member was met is kept, by device.
const MET: &str = "met";
/// Routes that are kept for one device.
const MAX_ROUTES: usize = 16;

impl Writer {
    pub(super) fn on_net(&mut self, event: NetEvent, now: Now) {
        match event {
            NetEvent::Connected { peer, .. } if self.watchman.unsound().is_some() => {
                self.disconnect(&peer, Cut::Damaged, "its library is damaged");
            }
            NetEvent::Connected { peer, conn, route, address } => {
                tracing::info!(%peer, route, "connected");
                let here = self.here();
                self.sessions.begin(&here, peer, conn, &route);
                self.remember_where(peer, address);
                self.connections_changed = true;
                self.counters.peers.entry(peer).or_default().connections += 1;
                let meeting = self.meetings.entry(peer).or_default();
                meeting.conn = Some(conn);
                meeting.last_seen_ms = Some(time::wall_ms());
                self.tell_link_up(&peer, &route);
                self.take(Input::Connected(peer), now);
                self.choose_links_anew();
            }
            NetEvent::Elsewhere { peer } => {
                tracing::error!(%peer, "another copy of this device's data is connected with a peer");
                let here = self.store.identity().device;
                self.twins.insert(here, now.wall_ms);
            }
            NetEvent::Refused { peer, cause } => self.tell_turned_away(&peer, cause),
            NetEvent::Disconnected { peer, conn, cause, reason } => {
                let meeting = self.meetings.entry(peer).or_default();
                if meeting.conn == Some(conn) {
                    tracing::info!(%peer, reason, "disconnected");
                    self.sessions.end(&peer, &reason);
                    meeting.conn = None;
                    meeting.last_seen_ms = Some(time::wall_ms());
                    meeting.ended = Some((cause, now.steady_ms));
                    self.tell_link_lost(&peer, cause, &reason);
                    self.connections_changed = true;
                    self.take(Input::Disconnected(peer), now);
                    self.choose_links_anew();
                }
            }
            NetEvent::Frame { peer, conn, bytes, permit, .. } => {
                self.permits.push(permit);
                if self.meetings.get(&peer).is_some_and(|meeting| meeting.conn == Some(conn)) {
                    self.on_frame(peer, &bytes, now);
                }
            }
            // The engine's windows are smaller than the queues.
            NetEvent::Writable { .. } => {}
        }
    }

    /// A link came or went: where links are kept with some only, it may be others now.
    fn choose_links_anew(&mut self) {
        if self.roster.len() > ALL_UP_TO {
            self.refresh_routes();
        }
    }

    fn on_frame(&mut self, peer: DeviceId, frame: &Bytes, now: Now) {
        let refusal = match Envelope::decode(frame) {
            Ok(envelope) if envelope.library != self.store.identity().library => {
                (Refusal::Library, "the message is for another library".to_owned())
            }
            Ok(envelope) if envelope.sender != peer => {
                (Refusal::Protocol, "the message names another sender".to_owned())
            }
            Ok(envelope) => {
                if let Message::Error { refusal, text } = &envelope.message {
                    self.meetings.entry(peer).or_default().refusal = Some((*refusal, false));
                    self.tell_refusal(&peer, *refusal, false, text);
                }
                self.counters.message(Direction::Received, &envelope.message, frame.len(), 1);
                self.counters.arrived(peer, &envelope.message);
                let message = &envelope.message;
                let passing = Passing { message, bytes: frame.len(), sent: false };
                let received = self.passing(peer, &passing);
                tracing::Span::current().follows_from(&received);
                let _entered = received.enter();
                return self.take(Input::Message(peer, envelope.message), now);
            }
            Err(error) => unreadable(frame, &error),
        };
        let (refusal, text) = refusal;
        tracing::warn!(%peer, text, "a message is refused");
        self.meetings.entry(peer).or_default().refusal = Some((refusal, true));
        self.tell_refusal(&peer, refusal, true, &text);
        self.transmit(&[peer], &Message::Error { refusal, text: text.clone() });
        self.disconnect(&peer, Cut::Other, &text);
    }

    /// A connection is gone without the network's word for it.
    pub(crate) fn forget_connection(&mut self, peer: DeviceId, now: Now) {
        if let Some(meeting) = self.meetings.get_mut(&peer)
            && meeting.conn.take().is_some()
        {
            meeting.last_seen_ms = Some(time::wall_ms());
            self.sessions.end(&peer, "this device hung up");
            self.take(Input::Disconnected(peer), now);
        }
    }

    pub(crate) fn take(&mut self, input: Input, now: Now) {
        if let Err(error) = self.engine.handle(&mut self.store, input, now) {
            self.broken = Some(error.into());
        }
    }

    /// Sends a message that is encoded once.
    pub(super) fn transmit(&mut self, to: &[DeviceId], message: &Message) {
        let Some(net) = self.net.clone() else { return };
        let identity = self.store.identity();
        let frame = match message.encode(identity.library, identity.device) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, message = message.name(), "a message cannot be encoded");
                return;
            }
        };
        self.counters.message(Direction::Sent, message, frame.len(), to.len());
        let class = if message.is_bulk() { Class::Bulk } else { Class::Live };
        for peer in to {
            let passing = Passing { message, bytes: frame.len(), sent: true };
            let span = self.passing(*peer, &passing);
            match span.in_scope(|| net.send(peer, class, frame.clone())) {
                // Its end is on its way to us; meeting it again makes the message anew.
                Ok(()) | Err(SendError::NotConnected { .. }) => {}
                Err(error) => {
                    tracing::warn!(%peer, %error, "a peer does not keep up");
                    self.disconnect(peer, Cut::Other, "it does not keep up");
                }
            }
        }
    }

    pub(super) fn disconnect(&mut self, peer: &DeviceId, cut: Cut, reason: &str) {
        if let Some(net) = &self.net {
            net.disconnect(peer, cut, reason);
        }
    }

    /// Ends all connections; what is known of peers goes with them.
    pub(crate) fn forget_everybody(&mut self, cut: Cut, reason: &str) {
        self.disconnect_all(cut, reason);
        let (peers, now) = (self.meetings.keys().copied().collect::<Vec<_>>(), time::now());
        for peer in peers {
            self.forget_connection(peer, now);
        }
    }

    pub(super) fn disconnect_all(&mut self, cut: Cut, reason: &str) {
        let peers: Vec<DeviceId> = self.meetings.keys().copied().collect();
        for peer in peers {
            self.disconnect(&peer, cut, reason);
        }
    }

    /// Hands the engine the certificates for peers to have.
    pub(super) fn offer_certificates(&mut self) {
        let certificates = self.roster.certificates().map(|c| Bytes::from(c.encode())).collect();
        let handled =
            self.engine.handle(&mut self.store, Input::Certificates(certificates), time::now());
        if let Err(error) = handled {
            tracing::error!(%error, "certificates cannot be offered");
        }
    }

    /// Looks at certificates that a peer offered; new members are kept first and then let in.
    pub(super) fn take_certificates(&mut self, offered: &[Bytes]) {
        let (roster, new) = members::admit(&self.roster, offered);
        if new.is_empty() {
            return;
        }
        self.follow_up("keeping certificates", move |writer| {
            members::keep(&mut writer.store, &new)?;
            writer.adopt(roster);
            Ok(())
        });
    }

    /// The roster has grown, in the transaction that is open.
    pub(crate) fn adopt(&mut self, roster: driftless_core::member::Roster) {
        self.tell_members(&roster);
        self.roster = roster;
        self.members.replace(&self.roster);
        self.offer_certificates();
        self.refresh_members();
        self.refresh_routes();
    }

    /// Keeps routes to a device, in the open transaction. The latest come first.
    pub(crate) fn keep_routes(
        &mut self,
        device: &DeviceId,
        routes: &[SocketAddr],
    ) -> Result<(), Error> {
        let mut all = self.kept_routes(device)?;
        all.retain(|route| !routes.contains(route));
        all.splice(0..0, routes.iter().copied());
        all.truncate(MAX_ROUTES);
        let text = all.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join("\n");
        Ok(self.store.put_local(ROUTES, &device.0, text.as_bytes())?)
    }

    /// Keeps where a member was met: its row, which says so too, may be deleted.
    fn remember_where(&mut self, peer: DeviceId, address: Option<SocketAddr>) {
        let Some(address) = address else { return };
        if matches!(self.kept(MET, &peer), Ok(known) if known == [address]) {
            return;
        }
        self.follow_up("keeping where a member was met", move |writer| {
            Ok(writer.store.put_local(MET, &peer.0, address.to_string().as_bytes())?)
        });
    }

    fn kept_routes(&self, device: &DeviceId) -> Result<Vec<SocketAddr>, Error> {
        self.kept(ROUTES, device)
    }

    fn kept(&self, space: &str, device: &DeviceId) -> Result<Vec<SocketAddr>, Error> {
        let kept = self.store.local(space, &device.0)?;
        let text = kept.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(text.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect())
    }

    /// Tells the network whom to keep a link with, and where they may be found: by routes that were
    /// given, by what their rows say, and by where they were met.
    pub(crate) fn refresh_routes(&mut self) {
        let Some(net) = self.net.clone() else { return };
        let here = self.store.identity().device;
        let members = self.roster.certificates().map(|certificate| certificate.device).collect();
        let meetings = &self.meetings;
        let linked = |device: &DeviceId| meetings.get(device).is_some_and(|m| m.conn.is_some());
        let now = time::now().steady_ms;
        let dialled = self.neighbourhood.choose(&here, &members, linked, now);
        match self.routes(&dialled) {
            Ok(routes) => net.set_routes(routes),
            Err(error) => tracing::error!(%error, "routes cannot be read"),
        }
    }

    fn routes(
        &self,
        dialled: &BTreeSet<DeviceId>,
    ) -> Result<BTreeMap<DeviceId, Vec<SocketAddr>>, Error> {
        let mut routes = BTreeMap::new();
        for device in dialled {
            routes.insert(*device, self.routes_to(device)?.into_iter().collect());
        }
        Ok(routes)
    }

    fn routes_to(&self, device: &DeviceId) -> Result<BTreeSet<SocketAddr>, Error> {
        let row: Option<Device> = reader::get(self.store.connection(), Device::row_id(device))?;
        let mut known: BTreeSet<SocketAddr> = self.kept_routes(device)?.into_iter().collect();
        known.extend(self.kept(MET, device)?);
        known.extend(row.as_ref().map(addresses).into_iter().flatten());
        Ok(known)
    }
}

/// Why a frame is refused that cannot be read.
fn unreadable(frame: &Bytes, error: &CodecError) -> (Refusal, String) {
    match Envelope::version_of(frame) {
        Some(version) if version != ENVELOPE_VERSION => {
            let words = format!(
                "version {version} of the protocol is not spoken by a device that speaks version \
                 {ENVELOPE_VERSION}: update driftless on the older of the two"
            );
            (Refusal::Version, words)
        }
        _ => (Refusal::Protocol, format!("the message cannot be read: {error}")),
    }
}

/// The addresses that a device's row names; what is no address is skipped, since rows come from
/// others.
pub(crate) fn addresses(device: &Device) -> Vec<SocketAddr> {
    device
        .addresses
        .split(['[', ']', ',', '"', ' '])
        .filter(|part| !part.is_empty())
        .take(MAX_ROUTES)
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// The form in which a device's row names addresses.
pub(crate) fn addresses_json(addresses: &[SocketAddr]) -> String {
    let quoted: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!("[{}]", quoted.join(","))
}
