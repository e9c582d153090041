//! The 28 octets of ARP for IPv4 on Ethernet (RFC 826). Does not decide which packets may be sent.
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::EtherTypes;

use crate::{Arp, ArpOperation, DecodeError};

const MAC_OCTETS: u8 = 6;
const IPV4_OCTETS: u8 = 4;

pub(crate) fn decode(payload: &[u8]) -> Result<Arp, DecodeError> {
    let packet = ArpPacket::new(payload).ok_or(DecodeError::Truncated)?;
    if packet.get_hardware_type() != ArpHardwareTypes::Ethernet
        || packet.get_hw_addr_len() != MAC_OCTETS
    {
        return Err(DecodeError::ArpHardware);
    }
    if packet.get_protocol_type() != EtherTypes::Ipv4 || packet.get_proto_addr_len() != IPV4_OCTETS
    {
        return Err(DecodeError::ArpProtocol);
    }
    let operation = match packet.get_operation() {
        ArpOperations::Request => ArpOperation::Request,
        ArpOperations::Reply => ArpOperation::Reply,
        _ => return Err(DecodeError::ArpOperation),
    };
    Ok(Arp {
        operation,
        sender_mac: packet.get_sender_hw_addr(),
        sender_ip: packet.get_sender_proto_addr(),
        target_mac: packet.get_target_hw_addr(),
        target_ip: packet.get_target_proto_addr(),
    })
}

pub(crate) fn encode(arp: &Arp) -> Vec<u8> {
    let mut octets = vec![0; ArpPacket::minimum_packet_size()];
    let mut packet = MutableArpPacket::new(&mut octets).expect("the buffer holds an ARP packet");
    packet.set_hardware_type(ArpHardwareTypes::Ethernet);
    packet.set_protocol_type(EtherTypes::Ipv4);
    packet.set_hw_addr_len(MAC_OCTETS);
    packet.set_proto_addr_len(IPV4_OCTETS);
    packet.set_operation(match arp.operation {
        ArpOperation::Request => ArpOperations::Request,
        ArpOperation::Reply => ArpOperations::Reply,
    });
    packet.set_sender_hw_addr(arp.sender_mac);
    packet.set_sender_proto_addr(arp.sender_ip);
    packet.set_target_hw_addr(arp.target_mac);
    packet.set_target_proto_addr(arp.target_ip);
    octets
}
