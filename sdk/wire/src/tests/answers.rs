//! Tests of the questions that are answered and of those that are not.
use super::*;

fn check_answer(question: &[u8], expected: Result<&str, NoAnswer>) {
    let question = decode(question).unwrap();
    assert_eq!(answer(&question, OURS), expected.map(octets), "{question:?}");
}

#[test]
fn questions_are_answered_to_who_asked() {
    check_answer(&octets(ARP_REQUEST), Ok(ARP_REPLY));
    check_answer(&octets(ARP_PROBE), Ok(ARP_PROBE_REPLY));
    let unicast = changed(ARP_REQUEST, &[(0, 2), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1)]);
    check_answer(&unicast, Ok(ARP_REPLY));
    check_answer(&octets(NS), Ok(NA_SOLICITED));
    check_answer(&octets(NS_WITHOUT_LINK_LAYER), Ok(NA_SOLICITED));
    check_answer(&octets(NS_PROBE), Ok(NA_ANNOUNCEMENT));
}

#[test]
fn what_is_no_question_to_us_gets_no_answer() {
    check_answer(&octets(ARP_REPLY), Err(NoAnswer::NotForUs));
    check_answer(&changed(ARP_REPLY, &[(5, 1)]), Err(NoAnswer::NotAQuestion));
    check_answer(&octets(ARP_ANNOUNCEMENT), Err(NoAnswer::Gratuitous));
    check_answer(&octets(NA_ANNOUNCEMENT), Err(NoAnswer::NotAQuestion));
    check_answer(&changed(NS, &[(IPV6 + 8 + 15, 1)]), Err(NoAnswer::Gratuitous));
    check_answer(&changed(NS_WITHOUT_LINK_LAYER, &[(5, 2)]), Err(NoAnswer::NotForUs));
    check_answer(&changed(ARP_REQUEST, &[(22, 3)]), Err(NoAnswer::GroupSender));
    check_answer(&changed(NS, &[(OPTION + 2, 0x33)]), Err(NoAnswer::GroupSender));
    let message = arp(ArpOperation::Request, (ASKER, "192.0.2.99"), (ZERO, "192.0.2.1"));
    check_answer(&encode(OTHER, ASKER, &message), Err(NoAnswer::NotForUs));
}

#[test]
fn announcements_are_those_that_linux_believes() {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(announcement(address, OURS), octets(ARP_ANNOUNCEMENT));
    let address: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(announcement(address, OURS), octets(NA_ANNOUNCEMENT));
}
