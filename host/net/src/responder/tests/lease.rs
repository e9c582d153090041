//! A node without a lease sends nothing, and a node that hands over leaves no request unanswered.
use super::*;

/// Waits until the responder has dropped this many frames for lack of a lease.
fn await_dropped(bench: &Bench, count: u64) {
    let dropped = || bench.handle.counters().dropped.get("lease-ended").copied().unwrap_or(0);
    while dropped() < count {
        std::thread::yield_now();
    }
}

namespaced! {
    fn without_its_lease_it_answers_nobody_and_its_beacons_wait() {
        let mut bench = Bench::new();
        bench.answer(1, VIP);
        let question = who_has(v4(VIP), ASKER, MacAddr::broadcast());
        // A lease that expired, as in a process that was frozen, and one that was revoked.
        for ended in [Some(boottime_us()), None] {
            bench.handle.set_lease(ended);
            let before = bench.handle.counters().dropped.get("lease-ended").copied().unwrap_or(0);
            bench.wire.send(&question);
            bench.handle.send(&bench.frame(announcement(VIP, MAC))).unwrap();
            bench.handle.beacon(OWNER, 2, VIP, bench.beacon(1, 2)).unwrap();
            await_dropped(&bench, before + 2);
            bench.handle.set_lease(Some(boottime_us() + 60_000_000));
            for _ in 0..2 {
                let frame = bench.wire.next();
                assert!(matches!(frame.message, NeighborMessage::Arp(arp) if arp.operation == ArpOperation::Request), "{frame:?}");
            }
            assert_eq!(bench.settle(), []);
            assert!(bench.answers(v4(VIP)));
        }
    }

    fn who_asked_before_an_address_is_withdrawn_is_answered() {
        let mut bench = Bench::new();
        let question = who_has(v4(VIP), ASKER, MacAddr::broadcast());
        for _ in 0..100 {
            bench.answer(1, VIP);
            // On a veth the frames are in the socket when the call returns.
            bench.wire.send_all(&vec![question.clone(); 40]);
            assert_eq!(bench.handle.withdraw(OWNER, VIP), [1]);
            bench.wire.send(&question);
            let answers = bench.settle();
            assert_eq!(answers.len(), 40, "each of those before, and not the one after");
        }
    }
}
