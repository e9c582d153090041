//! The kernel filter of one socket: the addresses that pass, and the classic BPF program for them. Pure.
//!
//! The kernel bounds a program by `net.core.optmem_max` (20 KiB before Linux 6.9, for the old and the new program
//! together), so beyond [`PREFIXES`] addresses the program passes prefixes that cover them; the responder's table stays
//! exact either way.
use std::collections::BTreeSet;
use std::net::IpAddr;

use outrigger_sdk::Family;
use socket2::SockFilter;

/// Largest number of prefixes that a program compares, and of addresses that it matches exactly.
pub(super) const PREFIXES: usize = 48;

/// The addresses that should pass, and the prefixes that the installed program lets pass.
#[derive(Debug)]
pub(super) struct Filter {
    family: Family,
    addresses: BTreeSet<u128>,
    installed: Vec<Prefix>,
    /// Number of addresses removed since the program was built.
    stale: usize,
}

/// The leading `length` bits of `bits`; an address is right-aligned in its family's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    bits: u128,
    length: u32,
}

impl Filter {
    pub(super) fn new(family: Family) -> Self {
        Self { family, addresses: BTreeSet::new(), installed: Vec::new(), stale: 0 }
    }

    /// Lets an address pass. Returns true if the installed program does not pass it yet, so that the program must be
    /// installed again.
    pub(super) fn insert(&mut self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.addresses.insert(bits);
        !self.installed.iter().any(|prefix| prefix.contains(bits, width(self.family)))
    }

    /// Stops passing an address. Returns true if the program should be installed again. A stale program only costs
    /// wake-ups, so with many addresses this happens once per sixteenth of them and not once per address.
    pub(super) fn remove(&mut self, address: IpAddr) -> bool {
        if !self.addresses.remove(&bits(address)) {
            return false;
        }
        self.stale += 1;
        self.addresses.len() <= PREFIXES || self.stale * 16 >= self.addresses.len()
    }

    /// Returns the program for the current addresses; `installed` must be called with its prefixes once the program is
    /// active.
    pub(super) fn program(&self) -> (Vec<Prefix>, Vec<SockFilter>) {
        let addresses: Vec<u128> = self.addresses.iter().copied().collect();
        let prefixes = cover(&addresses, width(self.family));
        let program = match self.family {
            Family::Ipv4 => arp_program(&prefixes),
            Family::Ipv6 => ndp_program(&prefixes),
        };
        (prefixes, program)
    }

    pub(super) fn installed(&mut self, prefixes: Vec<Prefix>) {
        self.installed = prefixes;
        self.stale = 0;
    }
}

impl Prefix {
    fn contains(&self, bits: u128, width: u32) -> bool {
        (bits ^ self.bits) & mask(self.length, width) == 0
    }
}

fn width(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn mask(length: u32, width: u32) -> u128 {
    let host = u128::MAX.checked_shl(width - length).unwrap_or(0);
    host & u128::MAX >> (128 - width)
}

/// Returns the number of leading bits that two addresses share.
fn common(a: u128, b: u128, width: u32) -> u32 {
    (a ^ b).leading_zeros() - (128 - width)
}

/// Returns at most [`PREFIXES`] prefixes that contain every address: the sorted list is cut where neighbours share the
/// fewest bits.
fn cover(sorted: &[u128], width: u32) -> Vec<Prefix> {
    let mut gaps: Vec<usize> = (1..sorted.len()).collect();
    gaps.sort_by_key(|&at| common(sorted[at - 1], sorted[at], width));
    gaps.truncate(PREFIXES - 1);
    gaps.sort_unstable();
    let starts = std::iter::once(0).chain(gaps.iter().copied());
    let ends = gaps.iter().copied().chain([sorted.len()]);
    let groups = starts.zip(ends).filter_map(|(start, end)| sorted.get(start..end));
    groups
        .filter_map(|group| {
            let (first, last) = (*group.first()?, *group.last()?);
            let length = common(first, last, width);
            Some(Prefix { bits: first & mask(length, width), length })
        })
        .collect()
}

/// Returns a program that passes ARP for IPv4 on Ethernet whose target or sender protocol address is in a prefix.
fn arp_program(prefixes: &[Prefix]) -> Vec<SockFilter> {
    let mut program = vec![];
    drop_foreign(&mut program);
    unless_drop(&mut program, load(LOAD_WORD, 14), 0x0001_0800); // Ethernet, IPv4
    unless_drop(&mut program, load(LOAD_HALF, 18), 0x0604); // lengths
    for field in [38, 28] {
        program.extend([load(LOAD_WORD, field), op(libc::BPF_MISC | libc::BPF_TAX, 0)]);
        for prefix in prefixes {
            let mask = mask(prefix.length, 32) as u32;
            program.push(op(libc::BPF_MISC | libc::BPF_TXA, 0));
            program.push(op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask));
            program.extend([equal(prefix.bits as u32, 0, 1), PASS]);
        }
    }
    program.push(DROP);
    program
}

/// Returns a program that passes Neighbor Solicitations and Advertisements with hop limit 255 (RFC 4861 section 7.1)
/// whose target is in a prefix. Extension headers before ICMPv6 do not pass: no host sends them there, and RFC 6980
/// forbids fragments.
fn ndp_program(prefixes: &[Prefix]) -> Vec<SockFilter> {
    let mut program = vec![];
    drop_foreign(&mut program);
    unless_drop(&mut program, load(LOAD_HALF, 20), 0x3aff); // ICMPv6, hop limit
    program.extend([load(LOAD_BYTE, 54), equal(135, 2, 0), equal(136, 1, 0), DROP]);
    for word in 0..4 {
        program.extend([load(LOAD_WORD, 62 + 4 * word), op(libc::BPF_ST, word)]);
    }
    for prefix in prefixes {
        program.extend(compare_words(prefix));
    }
    program.push(DROP);
    program
}

/// Compares the words that the prefix reaches into, which M[0..4] holds; passes when all are equal.
fn compare_words(prefix: &Prefix) -> Vec<SockFilter> {
    let mask = mask(prefix.length, 128);
    let word = |bits: u128, at: u32| (bits >> (96 - 32 * at)) as u32;
    let mut block = vec![PASS];
    // Built from the end, since a failed comparison jumps over the rest.
    for at in (0..prefix.length.div_ceil(32)).rev() {
        let rest = u8::try_from(block.len()).expect("four words are at most thirteen instructions");
        block.insert(0, equal(word(prefix.bits, at), 0, rest));
        if word(mask, at) != u32::MAX {
            block.insert(0, op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, word(mask, at)));
        }
        block.insert(0, op(libc::BPF_LD | libc::BPF_MEM, at));
    }
    block
}

/// Drops unicast to another host, and tagged frames of a VLAN that this host has no interface for (both
/// PACKET_OTHERHOST).
fn drop_foreign(program: &mut Vec<SockFilter>) {
    let packet_type = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
    let other_host = u32::from(libc::PACKET_OTHERHOST);
    program.extend([load(LOAD_BYTE, packet_type), equal(other_host, 0, 1), DROP]);
}

fn unless_drop(program: &mut Vec<SockFilter>, load: SockFilter, value: u32) {
    program.extend([load, equal(value, 1, 0), DROP]);
}

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const PASS: SockFilter = op(libc::BPF_RET | libc::BPF_K, u32::MAX);
const DROP: SockFilter = op(libc::BPF_RET | libc::BPF_K, 0);

const fn op(code: u32, k: u32) -> SockFilter {
    SockFilter::new(code as u16, 0, 0, k)
}

/// Loads from an offset from the start of the Ethernet header.
const fn load(code: u32, offset: u32) -> SockFilter {
    op(code, offset)
}

const fn equal(value: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, then, otherwise, value)
}

#[cfg(test)]
mod tests;
