//! Options of TCP and UDP sockets that no crate in the tree wraps, datagrams with their origin, and the scheduling of a
//! thread. Knows nothing of BGP, BFD or owners.
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

use outrigger_sdk::{IpNet, LinkIndex};
use socket2::{Domain, Socket, Type};

use super::{check, set_option};

/// `TCP_MD5SIG_EXT` of linux/tcp.h, since Linux 4.13.
const TCP_MD5SIG_EXT: libc::c_int = 32;
/// `TCP_MD5SIG_FLAG_PREFIX`: `prefix_length` applies.
const FLAG_PREFIX: u8 = 1;
/// `TCP_MD5SIG_MAXKEYLEN`.
pub(crate) const LONGEST_KEY: usize = 80;

/// `struct tcp_md5sig` of linux/tcp.h.
#[repr(C)]
struct Md5Signature {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; LONGEST_KEY],
}

/// Signs segments to these peers and requires theirs to be signed (RFC 2385). An empty key ends that.
pub(crate) fn set_md5(socket: &Socket, peers: IpNet, key: &[u8]) -> io::Result<()> {
    if key.len() > LONGEST_KEY {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let peer: socket2::SockAddr = SocketAddr::new(peers.network(), 0).into();
    // SAFETY: integers only, all-zero is a value of it.
    let mut signature: Md5Signature = unsafe { zeroed() };
    // SAFETY: a SockAddr is backed by a whole sockaddr_storage, which is plain integers.
    signature.address = unsafe { *peer.as_ptr().cast::<libc::sockaddr_storage>() };
    signature.flags = FLAG_PREFIX;
    signature.prefix_length = peers.prefix_len();
    signature.key_length = key.len() as u16;
    signature.key[..key.len()].copy_from_slice(key);
    // SAFETY: `signature` is readable for its size and outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_MD5SIG_EXT,
            (&raw const signature).cast(),
            size_of::<Md5Signature>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Sets the TTL or hop limit of outgoing packets; `None` restores the node's default.
pub(crate) fn set_hop_limit(socket: &Socket, v4: bool, hops: Option<u8>) -> io::Result<()> {
    let hops = hops.map_or(-1, libc::c_int::from);
    match v4 {
        true => set_option(socket, libc::IPPROTO_IP, libc::IP_TTL, hops),
        false => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, hops),
    }
}

/// Makes the kernel drop packets with a lower TTL or hop limit, which come from farther away (RFC 5082); 0 drops
/// nothing.
pub(crate) fn set_min_hop_limit(socket: &Socket, v4: bool, hops: u8) -> io::Result<()> {
    /// `IPV6_MINHOPCOUNT` of linux/in6.h.
    const IPV6_MINHOPCOUNT: libc::c_int = 73;
    match v4 {
        true => set_option(socket, libc::IPPROTO_IP, libc::IP_MINTTL, hops.into()),
        false => set_option(socket, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, hops.into()),
    }
}

/// Sets the code point in the upper six bits of the traffic class (RFC 2474).
pub(crate) fn set_dscp(socket: &Socket, v4: bool, point: u8) -> io::Result<()> {
    let class = libc::c_int::from(point) << 2;
    match v4 {
        true => set_option(socket, libc::IPPROTO_IP, libc::IP_TOS, class),
        false => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class),
    }
}

/// Sets how long sent data may stay unacknowledged until the connection is given up (RFC 5482).
pub(crate) fn set_user_timeout(socket: &Socket, ms: u32) -> io::Result<()> {
    let ms = libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms)
}

/// Requests the destination address, the incoming link and the hop limit of each received datagram.
pub(crate) fn want_packet_info(socket: &Socket, v4: bool) -> io::Result<()> {
    match v4 {
        true => {
            set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            set_option(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, 1)
        }
        false => {
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)
        }
    }
}

/// A datagram as received from the kernel.
pub(crate) struct Packet {
    pub(crate) remote: SocketAddr,
    pub(crate) local: IpAddr,
    pub(crate) link: LinkIndex,
    pub(crate) hop_limit: u8,
    pub(crate) data: Vec<u8>,
}

/// Longest datagram, in octets; no protocol in use here has longer ones.
const LONGEST_PACKET: usize = 2048;

/// Returns the next queued datagram. `None` if it was truncated or has no IP source address.
pub(crate) fn receive(socket: &Socket) -> io::Result<Option<Packet>> {
    let (mut data, mut control) = (vec![0_u8; LONGEST_PACKET], [0_u64; 32]);
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: sockaddr_storage and msghdr are integers and pointers, all-zero is a value of both.
    let (mut from, mut header): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (zeroed(), zeroed()) };
    header.msg_name = (&raw mut from).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: `header` points to a name, one buffer and control room that are writable for the lengths it holds, and all
    // outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_DONTWAIT) };
    let length = match usize::try_from(length) {
        Ok(length) => length,
        Err(_) => return Err(io::Error::last_os_error()),
    };
    data.truncate(length);
    let Some(remote) = address(&from) else { return Ok(None) };
    let mut packet = Packet { remote, local: unspecified(remote), link: 0, hop_limit: 0, data };
    // SAFETY: `header` is as recvmsg left it, so every control message lies within `control`.
    unsafe { read_control(&header, &mut packet) };
    let cut = header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok((!cut).then_some(packet))
}

/// # Safety
/// `header` must be as a successful recvmsg left it.
unsafe fn read_control(header: &libc::msghdr, packet: &mut Packet) {
    // SAFETY: as the caller promises.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: not null, so within the control room.
    while let Some(message) = unsafe { next.as_ref() } {
        // SAFETY: the data of this message follows its header.
        let data = unsafe { libc::CMSG_DATA(next) };
        match (message.cmsg_level, message.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: the kernel puts an in_pktinfo here; it may be unaligned.
                let info: libc::in_pktinfo =
                    unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                packet.local = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into();
                packet.link = info.ipi_ifindex as LinkIndex;
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: the kernel puts an in6_pktinfo here; it may be unaligned.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                packet.local = Ipv6Addr::from(info.ipi6_addr.s6_addr).into();
                packet.link = info.ipi6_ifindex as LinkIndex;
            }
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                // SAFETY: the kernel puts an int here; it may be unaligned.
                let hops = unsafe { data.cast::<libc::c_int>().read_unaligned() };
                packet.hop_limit = u8::try_from(hops).unwrap_or(0);
            }
            _ => {}
        }
        // SAFETY: as the caller promises, and `next` is one of its messages.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
}

fn address(from: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let storage: *const libc::sockaddr_storage = from;
    match libc::c_int::from(from.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family shows that this is a sockaddr_in, and the storage is large and aligned enough.
            let from = unsafe { &*storage.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr));
            Some(SocketAddr::new(ip.into(), u16::from_be(from.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family shows that this is a sockaddr_in6, and the storage is large and aligned enough.
            let from = unsafe { &*storage.cast::<libc::sockaddr_in6>() };
            let (ip, port) = (from.sin6_addr.s6_addr.into(), u16::from_be(from.sin6_port));
            Some(SocketAddrV6::new(ip, port, 0, from.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn unspecified(like: SocketAddr) -> IpAddr {
    match like {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Gives this thread real-time priority over ordinary threads: it sleeps until a packet or a deadline and then works
/// for microseconds.
pub(crate) fn run_first() -> io::Result<()> {
    // SAFETY: sched_param is integers, all-zero is a value of it.
    let mut parameter: libc::sched_param = unsafe { zeroed() };
    parameter.sched_priority = 1;
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameter` outlives the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &parameter) }).map(drop)
}

/// Raises the priority of this thread above ordinary threads where real-time priority is not allowed.
pub(crate) fn be_less_nice() -> io::Result<()> {
    // SAFETY: takes no pointer; 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -15) }).map(drop)
}

/// Returns the index of a link by its name. `None` if there is no such link.
pub(crate) fn link_index(name: &str) -> Option<LinkIndex> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` ends with a zero and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Returns true if a device is a VRF, by its driver's name: its `uevent` in sysfs has no DEVTYPE, and the sysfs mounted
/// at `/sys` may be that of another network namespace.
pub(crate) fn is_vrf(name: &str) -> bool {
    /// `ETHTOOL_GDRVINFO` of linux/ethtool.h.
    const GET_DRIVER: u32 = 3;
    /// `struct ethtool_drvinfo` of linux/ethtool.h.
    #[repr(C)]
    struct Driver {
        command: u32,
        name: [u8; 32],
        rest: [u8; 160],
    }
    let mut driver = Driver { command: GET_DRIVER, name: [0; 32], rest: [0; 160] };
    // SAFETY: integers and a pointer, all-zero is a value of it.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= request.ifr_name.len() {
        return false;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut driver).cast();
    let Ok(socket) = Socket::new(Domain::IPV4, Type::DGRAM, None) else { return false };
    let command = libc::SIOCETHTOOL as libc::Ioctl;
    // SAFETY: `request` has a name that ends with a zero and points to a whole `ethtool_drvinfo`; both are writable and
    // outlive the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), command, &raw mut request) };
    status == 0 && driver.name.starts_with(b"vrf\0")
}
