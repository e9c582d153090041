//! IPv6 multicast groups: a membership makes the kernel send MLD reports, the switches forward the group, and the
//! network card accept the group's MAC address. The frames themselves arrive on the responder's sockets; nothing is ever read
//! here.
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::sync::{Mutex, PoisonError};

use outrigger_sdk::LinkIndex;
use socket2::{Domain, Socket, Type};

use crate::{Links, Owner};

/// The multicast memberships of every owner on every link.
///
/// Memberships are idempotent: joining twice is the same as joining once, and the host leaves when the last owner has
/// left.
#[derive(Debug, Default)]
pub struct Groups {
    state: Mutex<State>,
}

/// The reason why a group was not joined.
#[derive(Debug, thiserror::Error)]
#[error("cannot join {group} on link {link}: {cause}; check that IPv6 is enabled there")]
pub struct GroupError {
    /// The group.
    pub group: Ipv6Addr,
    /// The link.
    pub link: LinkIndex,
    /// The error of the kernel.
    pub cause: std::io::Error,
}

#[derive(Debug, Default)]
struct State {
    /// Sockets that hold the memberships. The kernel bounds the memberships of one socket by `net.core.optmem_max`, so
    /// there may be several.
    sockets: Vec<Socket>,
    members: BTreeMap<(LinkIndex, Ipv6Addr), Membership>,
}

#[derive(Debug)]
struct Membership {
    socket: usize,
    owners: BTreeSet<Owner>,
}

impl Groups {
    /// Joins a group for an owner.
    ///
    /// # Errors
    /// Returns the error of the kernel, with nothing changed.
    pub fn join(&self, owner: Owner, link: LinkIndex, group: Ipv6Addr) -> Result<(), GroupError> {
        let mut state = self.lock();
        if let Some(membership) = state.members.get_mut(&(link, group)) {
            membership.owners.insert(owner);
            return Ok(());
        }
        let socket = state.join(link, group).map_err(|cause| GroupError { group, link, cause })?;
        state.members.insert((link, group), Membership { socket, owners: BTreeSet::from([owner]) });
        Ok(())
    }

    /// Leaves a group for this owner, and leaves it on the host when no other owner is in it.
    pub fn leave(&self, owner: Owner, link: LinkIndex, group: Ipv6Addr) {
        self.lock().retain(|key, membership| {
            if *key == (link, group) {
                membership.owners.remove(&owner);
            }
        });
    }

    /// Leaves every group for this owner.
    pub fn end_owner(&self, owner: Owner) {
        self.lock().retain(|_, membership| {
            membership.owners.remove(&owner);
        });
    }

    /// Forgets the groups on links that have gone: a link that comes back has another index.
    pub fn set_links(&self, links: &Links) {
        self.lock().retain(|(link, _), membership| {
            if !links.contains_key(link) {
                membership.owners.clear();
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Joins a group on the first socket that has room, and returns the index of that socket.
    fn join(&mut self, link: LinkIndex, group: Ipv6Addr) -> std::io::Result<usize> {
        for (place, socket) in self.sockets.iter().enumerate() {
            match socket.join_multicast_v6(&group, link) {
                Err(error) if is_full(&error) => {}
                outcome => return outcome.map(|()| place),
            }
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.join_multicast_v6(&group, link)?;
        self.sockets.push(socket);
        Ok(self.sockets.len() - 1)
    }

    fn retain(&mut self, mut change: impl FnMut(&(LinkIndex, Ipv6Addr), &mut Membership)) {
        let sockets = &self.sockets;
        self.members.retain(|key, membership| {
            change(key, membership);
            if membership.owners.is_empty() {
                // A link that has gone took its memberships with it, so the error needs no handling.
                let _ = sockets[membership.socket].leave_multicast_v6(&key.1, key.0);
            }
            !membership.owners.is_empty()
        });
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests;
