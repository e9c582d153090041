//! System calls that no crate in the tree wraps: packet sockets, batches of frames, epoll with a timer, CLOCK_BOOTTIME;
//! options of other sockets are in `sockets`. Most of the project's `unsafe` code is here. Knows nothing of ARP,
//! offloads or owners.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use outrigger_sdk::LinkIndex;

pub(crate) mod sockets;

use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

/// Returns the microseconds since boot, including suspend.
pub(crate) fn boottime_us() -> u64 {
    // SAFETY: timespec is plain integers, all-zero is a value of it.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: `time` outlives the call and is writable.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    debug_assert_eq!(status, 0, "CLOCK_BOOTTIME exists since Linux 2.6.39");
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Returns the microseconds of processor time that this thread has used.
pub(crate) fn thread_us() -> u64 {
    // SAFETY: timespec is plain integers, all-zero is a value of it.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: `time` outlives the call and is writable.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    debug_assert_eq!(status, 0, "CLOCK_THREAD_CPUTIME_ID exists since Linux 2.6.12");
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// A packet socket (packet(7)) that sends and receives whole Ethernet frames of one type on one link and never blocks.
#[derive(Debug)]
pub(crate) struct PacketSocket(Socket);

impl PacketSocket {
    /// Opens a socket. The filter is attached before the socket is bound to a link, so nothing unfiltered is ever
    /// queued.
    pub(crate) fn open(link: LinkIndex, ethertype: u16, filter: &[SockFilter]) -> io::Result<Self> {
        // Protocol 0 receives nothing until bind names a protocol.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        // Room for a burst of requests; exceeding the system-wide limit requires SO_RCVBUFFORCE.
        if set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER).is_err() {
            set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        }
        socket.attach_filter(filter)?;
        socket.bind(&link_address(link, ethertype))?;
        Ok(Self(socket))
    }

    /// Replaces the filter at once.
    pub(crate) fn set_filter(&self, filter: &[SockFilter]) -> io::Result<()> {
        self.0.attach_filter(filter)
    }

    /// Sends one frame.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.0.send(frame).map(drop)
    }

    /// Sends frames in order and returns how many the kernel accepted. Fewer than all means that its queue is full or
    /// the link is down.
    pub(crate) fn send_all(&self, frames: &[Vec<u8>]) -> usize {
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: frame.len(),
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = parts.iter_mut().map(header).collect();
        let mut done = 0;
        while done < headers.len() {
            let rest = &mut headers[done..];
            // SAFETY: `rest` is valid for its length; each header points to one iovec in `parts`, each iovec to a frame
            // in `frames`; all outlive the call, and sending only reads the bytes.
            let sent = unsafe {
                libc::sendmmsg(self.0.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0)
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => done += sent,
                _ => break,
            }
        }
        done
    }

    /// Returns the number of frames that the kernel dropped since the last call because the queue was full.
    pub(crate) fn overflowed(&self) -> u32 {
        // SAFETY: tpacket_stats is plain integers, all-zero is a value of it.
        let mut stats: libc::tpacket_stats = unsafe { zeroed() };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: `stats` is writable for `length` bytes and both outlive the call.
        let status = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &mut length,
            )
        };
        if status == 0 { stats.tp_drops } else { 0 }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const RECEIVE_BUFFER: libc::c_int = 4 << 20;

fn set_option(
    socket: &Socket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes and outlives the call.
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length)
    })
    .map(drop)
}

fn link_address(link: LinkIndex, ethertype: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is a socket address of plain integers and fits the storage.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = link as libc::c_int;
    // SAFETY: the storage holds a whole sockaddr_ll, whose size is the given length.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

fn header(part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: mmsghdr is integers and pointers, all-zero is a value of it: no name, no control data.
    let mut header: libc::mmsghdr = unsafe { zeroed() };
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// A buffer for the frames of one system call.
#[derive(Debug)]
pub(crate) struct Batch {
    frames: Box<[[u8; Batch::LONGEST]; Batch::FRAMES]>,
    /// Length of each frame received last, in octets; larger than [`Batch::LONGEST`] if the frame was truncated.
    lengths: Vec<usize>,
}

impl Batch {
    /// Largest number of frames of one batch.
    pub(crate) const FRAMES: usize = 32;
    /// Longest frame, in octets: ARP and Neighbor Discovery are far shorter, on links of any MTU.
    pub(crate) const LONGEST: usize = 2048;

    pub(crate) fn new() -> Self {
        Self { frames: Box::new([[0; Self::LONGEST]; Self::FRAMES]), lengths: Vec::new() }
    }

    /// Receives the queued frames, at most one batch, or none if none are queued. An error of the socket (its link went
    /// down) is cleared by this call and counts as no frames.
    pub(crate) fn receive(&mut self, socket: &PacketSocket) {
        let mut parts: Vec<libc::iovec> = self
            .frames
            .iter_mut()
            .map(|frame| libc::iovec {
                iov_base: frame.as_mut_ptr().cast(),
                iov_len: Self::LONGEST,
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = parts.iter_mut().map(header).collect();
        // SAFETY: `headers` is valid for its length; each points to one iovec in `parts`, each iovec to a frame of its
        // own that is writable for its length; all outlive the call. A null timeout means none.
        let received = unsafe {
            libc::recvmmsg(
                socket.0.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as u32,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).unwrap_or(0);
        self.lengths = headers[..received].iter().map(|header| header.msg_len as usize).collect();
    }

    /// Returns the frames received last; `None` for a frame that was too long.
    pub(crate) fn frames(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        self.frames
            .iter()
            .take(self.lengths.len())
            .zip(&self.lengths)
            .map(|(frame, &length)| frame.get(..length))
    }
}

/// Waits for sockets and for one deadline.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
}

/// The key of the deadline.
const TIMER: u64 = u64::MAX;

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer; the returned descriptor has no other owner.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes no pointer; the returned descriptor has no other owner.
        let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) })?;
        let poller = Self { epoll, timer };
        poller.add(poller.timer.as_fd(), TIMER)?;
        Ok(poller)
    }

    /// Reports `key` whenever `source` can be read, until `source` is closed.
    pub(crate) fn add(&self, source: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: key };
        let (epoll, source) = (self.epoll.as_raw_fd(), source.as_raw_fd());
        // SAFETY: `event` outlives the call; the kernel copies it.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, source, &mut event) }).map(drop)
    }

    /// Reports `key` whenever `source` can be read or written, as requested; with neither, reports nothing, not even
    /// errors. `known` tells whether `source` is registered now.
    pub(crate) fn change(
        &self,
        source: BorrowedFd<'_>,
        key: u64,
        known: bool,
        (read, write): (bool, bool),
    ) -> io::Result<()> {
        let mut events = 0;
        if read {
            events |= libc::EPOLLIN;
        }
        if write {
            events |= libc::EPOLLOUT;
        }
        let operation = match (known, read || write) {
            (false, false) => return Ok(()),
            (false, true) => libc::EPOLL_CTL_ADD,
            (true, true) => libc::EPOLL_CTL_MOD,
            (true, false) => libc::EPOLL_CTL_DEL,
        };
        let mut event = libc::epoll_event { events: events as u32, u64: key };
        let (epoll, source) = (self.epoll.as_raw_fd(), source.as_raw_fd());
        // SAFETY: `event` outlives the call; the kernel copies it.
        check(unsafe { libc::epoll_ctl(epoll, operation, source, &mut event) }).map(drop)
    }

    /// Ends the wait at this time on [`boottime_us`]; a time that has passed ends it at once.
    pub(crate) fn set_deadline(&self, boottime_us: u64) {
        // Zero would disarm the timer.
        let at = boottime_us.max(1);
        // SAFETY: itimerspec is plain integers, all-zero is a value of it.
        let mut timer: libc::itimerspec = unsafe { zeroed() };
        timer.it_value.tv_sec = (at / 1_000_000) as libc::time_t;
        timer.it_value.tv_nsec = (at % 1_000_000 * 1_000) as libc::c_long;
        let fd = self.timer.as_raw_fd();
        // SAFETY: `timer` outlives the call; the old value is not asked for.
        let status =
            unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &timer, ptr::null_mut()) };
        debug_assert_eq!(status, 0, "the timer and its value are valid");
    }

    /// Sleeps until a socket is ready or the deadline passes; `ready` then holds the keys of the ready sockets.
    pub(crate) fn wait(&self, ready: &mut Vec<u64>) {
        ready.clear();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let room = events.len() as libc::c_int;
        // SAFETY: `events` is writable for `room` entries and outlives the call. Interrupted means nothing is ready.
        let count =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), room, -1) };
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
            match event.u64 {
                TIMER => self.clear_timer(),
                key => ready.push(key),
            }
        }
    }

    fn clear_timer(&self) {
        let mut expirations = 0_u64;
        // SAFETY: `expirations` is writable for the 8 bytes that a timer yields. The read does not block, and an error
        // means that the timer was reset in the meantime.
        unsafe {
            libc::read(self.timer.as_raw_fd(), (&raw mut expirations).cast(), size_of::<u64>())
        };
    }
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(fd)?;
    // SAFETY: only called with a descriptor that was just created here, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(status: libc::c_int) -> io::Result<libc::c_int> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}
