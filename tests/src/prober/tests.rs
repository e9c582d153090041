//! Tests of what counts as answered: the measuring device is verified first.
use super::*;

const FIRST: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const SECOND: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

/// Returns requests every 5 ms, each answered after the given times in milliseconds by the given nodes.
fn probe(answers: &[&[(u64, MacAddr)]]) -> Probe {
    let start = clock::now();
    let mut probe = Probe::default();
    for (number, answers) in (0_u32..).zip(answers) {
        let at = start + Duration::from_millis(5) * number;
        let answers: Vec<_> = answers
            .iter()
            .map(|(ms, mac)| Answer { at: at + Duration::from_millis(*ms), mac: *mac })
            .collect();
        probe.answers.extend(&answers);
        probe.requests.push(Request { at, answers });
    }
    probe.answers.sort_by_key(|answer| answer.at);
    probe
}

#[test]
fn a_request_without_answer_or_with_a_late_one_is_unanswered() {
    for (answers, unanswered) in [
        (&[][..], 0),
        (&[&[(1, FIRST)][..], &[(1, FIRST)]], 0),
        (&[&[(1, FIRST)], &[]], 1),
        (&[&[(1000, FIRST)], &[(1001, FIRST)]], 1),
        (&[&[(1, FIRST), (2000, FIRST)]], 0),
    ] {
        assert_eq!(probe(answers).unanswered(), unanswered, "{answers:?}");
    }
}

#[test]
fn a_second_answer_is_a_duplicate_whoever_gives_it() {
    let probe = probe(&[&[(1, FIRST), (1, SECOND)], &[(1, FIRST)], &[]]);
    assert_eq!((probe.duplicates(), probe.answers().len(), probe.unanswered()), (1, 3, 1));
}

#[test]
fn the_longest_gap_is_between_answers() {
    assert_eq!(
        probe(&[&[(1, FIRST)], &[], &[], &[(3, FIRST)]]).longest_gap(),
        Duration::from_millis(17)
    );
    assert_eq!(probe(&[&[(1, FIRST)]]).longest_gap(), Duration::ZERO);
}

#[test]
fn it_is_settled_when_one_node_alone_gave_the_last_answers() {
    let before = |last: &'static [(u64, MacAddr)]| {
        // The last ten are left out, because their answers may still be pending.
        let mut all: Vec<&[(u64, MacAddr)]> = vec![&[(1, FIRST)]; 19];
        all.push(last);
        all.extend([&[][..]; 10]);
        probe(&all).settled_on(20)
    };
    assert_eq!(before(&[(1, FIRST)]), Some(FIRST));
    assert_eq!(before(&[(1, SECOND)]), None);
    assert_eq!(before(&[(1, FIRST), (2, SECOND)]), None);
    assert_eq!(before(&[]), None);
    let too_few: [&[(u64, MacAddr)]; 29] = [&[(1, FIRST)]; 29];
    assert_eq!(probe(&too_few).settled_on(20), None);
}

#[test]
fn every_sender_address_belongs_to_one_request() {
    for number in [0, 1, 255, 70_000] {
        assert_eq!(number_of(sender_of(number)), usize::try_from(number).ok());
    }
    assert_eq!(number_of(Ipv4Addr::new(9, 255, 255, 255)), None);
}
