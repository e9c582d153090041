//! Events caused by the passage of time: timers expire, connection attempts end, messages arrive, and the host carries
//! out effects. Must be independent of the tests that use it.
use super::*;

impl Net {
    pub(super) fn next_us(&self) -> Option<u64> {
        let mut due: Vec<u64> = Vec::new();
        for node in &self.nodes {
            due.extend(node.wake_us);
            due.extend(node.calls.values().map(|(_, at_us, _)| *at_us));
            due.extend(node.offloads.values().map(|(work, since_us)| since_us + period_us(work)));
        }
        if !self.silent {
            let ends = self.wires.iter().flat_map(|wire| &wire.ends).filter(|end| end.open);
            due.extend(ends.filter_map(|end| end.arriving.front().map(|(at_us, _)| *at_us)));
        }
        due.into_iter().min()
    }

    /// Processes all events that are due.
    pub(super) fn happen(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].wake_us.is_some_and(|at_us| at_us <= self.now_us) {
                self.nodes[node].wake_us = None;
                self.nodes[node].queue.push(Event::Wake(String::new()));
            }
            let due =
                self.nodes[node].calls.iter().filter(|(_, (_, at_us, _))| *at_us <= self.now_us);
            let due: Vec<u32> = due.map(|(id, _)| *id).collect();
            due.into_iter().for_each(|id| self.call_ends(node, id));
            let due = self.nodes[node].offloads.iter();
            let due = due.filter(|(_, (work, since))| since + period_us(work) <= self.now_us);
            let due: Vec<u32> = due.map(|(id, _)| *id).collect();
            due.into_iter().for_each(|id| self.offload_due(node, id));
        }
        if !self.silent {
            self.arrive();
        }
    }

    fn call_ends(&mut self, node: usize, id: u32) {
        let (remote, _, timeout_us) = self.nodes[node].calls.remove(&id).unwrap();
        if self.silent {
            // SYNs get lost until the caller gives up.
            if self.now_us < timeout_us {
                self.nodes[node].calls.insert(id, (remote, timeout_us, timeout_us));
            } else {
                let reason = CloseReason::TimedOut;
                self.nodes[node].queue.push(Event::Closed(Closed { id, reason }));
            }
            return;
        }
        let from = self.nodes[node].address;
        let callee = self.nodes.iter().position(|one| one.address == remote.ip());
        let listener = callee.and_then(|callee| {
            let listeners = self.nodes[callee].listeners.values();
            listeners.filter(|one| one.remote.contains(&from)).map(|one| one.id).next()
        });
        let (Some(callee), Some(listener)) = (callee, listener) else {
            let reason = CloseReason::Refused;
            return self.nodes[node].queue.push(Event::Closed(Closed { id, reason }));
        };
        self.next += 1;
        let ends = [End::new(node, id), End::new(callee, self.next)];
        let opened = self.opened(&ends[0], &ends[1]);
        let accepted = self.opened(&ends[1], &ends[0]);
        self.nodes[node].queue.push(Event::Opened(opened));
        let accepted = Accepted { listener, opened: accepted };
        self.nodes[callee].queue.push(Event::Accepted(accepted));
        self.wires.push(Wire { ends });
    }

    fn offload_due(&mut self, node: usize, id: u32) {
        let (work, _) = self.nodes[node].offloads[&id].clone();
        match work {
            OffloadWork::Expect { .. } => {
                self.nodes[node].offloads.remove(&id);
                self.nodes[node].queue.push(Event::Expired(id));
            }
            OffloadWork::Keepalive { endpoint, ref data, .. } => {
                self.nodes[node].offloads.insert(id, (work.clone(), self.now_us));
                self.put(node, endpoint, data.clone());
            }
            other => panic!("{other:?} is not in this test"),
        }
    }

    fn put(&mut self, node: usize, id: u32, message: Vec<u8>) {
        let at_us = self.now_us + LATENCY_US;
        for wire in &mut self.wires {
            for side in 0..2 {
                let end = &wire.ends[side];
                if end.node == node && end.id == id && end.open {
                    wire.ends[1 - side].arriving.push_back((at_us, Some(message.clone())));
                }
            }
        }
    }

    fn arrive(&mut self) {
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                while self.wires[wire].ends[side].open
                    && let Some((at_us, _)) = self.wires[wire].ends[side].arriving.front()
                    && *at_us <= self.now_us
                {
                    let (_, message) = self.wires[wire].ends[side].arriving.pop_front().unwrap();
                    match message {
                        Some(message) => self.message(wire, side, message),
                        None => self.lost(wire, side, CloseReason::Remote),
                    }
                }
            }
        }
    }

    fn message(&mut self, wire: usize, side: usize, message: Vec<u8>) {
        self.wires[wire].learn(side, &message);
        let length = message.len() as u32;
        let (node, id) = (self.wires[wire].ends[side].node, self.wires[wire].ends[side].id);
        for (work, since_us) in self.nodes[node].offloads.values_mut() {
            if matches!(work, OffloadWork::Expect { endpoint, .. } if *endpoint == id) {
                *since_us = self.now_us;
            }
        }
        self.nodes[node].queue.push(Event::Data(StreamBytes { id, data: message }));
        let writer = &mut self.wires[wire].ends[1 - side];
        if writer.open && writer.credit < CREDIT {
            let back = length.min(CREDIT - writer.credit);
            writer.credit += back;
            let (node, id) = (writer.node, writer.id);
            self.nodes[node].queue.push(Event::Credit(id, back));
        }
    }

    /// Passes each node its queued events, and carries out the resulting effects.
    pub(super) fn deliver(&mut self) {
        for node in 0..self.nodes.len() {
            let one = &mut self.nodes[node];
            if one.queue.is_empty() {
                continue;
            }
            let events = std::mem::take(&mut one.queue);
            let now = Time { monotonic_us: self.now_us, utc_us: 0 };
            let Reply { effects, wake } = one.speaker.handle(now, events);
            one.wake_us = match wake {
                Wake::Never => None,
                Wake::After { ms, .. } => Some(self.now_us + u64::from(ms) * 1_000),
            };
            one.check();
            effects.into_iter().for_each(|effect| self.carry_out(node, effect));
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        let now_us = self.now_us;
        match effect {
            Effect::Connect(connect) => {
                let at = (connect.remote, now_us + LATENCY_US, now_us + 10_000_000);
                self.nodes[node].calls.insert(connect.id, at);
            }
            Effect::Listen(listen) => {
                self.nodes[node].listeners.insert(listen.id, listen);
            }
            Effect::Write(bytes) => self.write(node, bytes),
            Effect::Close(id) | Effect::Abort(id) => self.close(node, id),
            Effect::Offload(Offload { id, work }) => {
                assert!(id < HOST);
                self.nodes[node].offloads.insert(id, (work, now_us));
            }
            Effect::Report(Report::Address(report)) => {
                self.nodes[node].reports.insert(report.address, report);
            }
            Effect::Report(Report::Peer(report)) => {
                self.nodes[node].peers.insert(report.peer.clone(), report);
            }
            Effect::Drained => self.nodes[node].drained = true,
            other => panic!("{other:?} is not in this test"),
        }
    }

    fn write(&mut self, node: usize, StreamBytes { id, data }: StreamBytes) {
        for wire in &mut self.wires {
            for end in &mut wire.ends {
                if end.node == node && end.id == id && end.open {
                    let left = end.credit.checked_sub(data.len() as u32);
                    end.credit = left.expect("no more is written than credit allows");
                }
            }
        }
        let message = bgp::decode(&data, &as_the_peer()).unwrap();
        self.nodes[node].written.push(message);
        for (work, since_us) in self.nodes[node].offloads.values_mut() {
            if matches!(work, OffloadWork::Keepalive { endpoint, .. } if *endpoint == id) {
                *since_us = self.now_us;
            }
        }
        self.put(node, id, data);
    }

    fn close(&mut self, node: usize, id: u32) {
        let one = &mut self.nodes[node];
        one.listeners.remove(&id);
        one.calls.remove(&id);
        one.offloads.remove(&id);
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                let end = &self.wires[wire].ends[side];
                if end.node == node && end.id == id {
                    self.cut(wire, side, false);
                }
            }
        }
    }
}

fn period_us(work: &OffloadWork) -> u64 {
    match work {
        OffloadWork::Keepalive { interval_ms, .. } => u64::from(*interval_ms) * 1_000,
        OffloadWork::Expect { within_us, .. } => u64::from(*within_us),
        other => panic!("{other:?} is not in this test"),
    }
}
