//! One connection, and what each end learns from the messages on it.
use super::*;

/// A TCP connection, with an end at each of two nodes.
pub(super) struct Wire {
    pub(super) ends: [End; 2],
}

pub(super) struct End {
    pub(super) node: usize,
    pub(super) id: u32,
    /// Messages on the way to this end, with their time of arrival; `None` for FIN.
    pub(super) arriving: VecDeque<(u64, Option<Vec<u8>>)>,
    pub(super) open: bool,
    pub(super) credit: u32,
    pub(super) said: Option<bgp::Open>,
    /// Routes that this end has received.
    pub(super) held: BTreeMap<IpNet, (bgp::NextHop, bgp::Attributes)>,
    pub(super) ended: Vec<bgp::Family>,
}

impl End {
    pub(super) fn new(node: usize, id: u32) -> Self {
        Self {
            node,
            id,
            arriving: VecDeque::new(),
            open: true,
            credit: CREDIT,
            said: None,
            held: BTreeMap::new(),
            ended: Vec::new(),
        }
    }
}

impl Wire {
    /// Updates the end on this side with a message it received.
    pub(super) fn learn(&mut self, side: usize, message: &[u8]) {
        let opens = (self.ends[side].said.clone(), self.ends[1 - side].said.clone());
        let negotiated = match opens {
            (Some(ours), Some(theirs)) => Negotiated::new(&ours, &theirs),
            _ => Negotiated::default(),
        };
        match bgp::decode(message, &negotiated) {
            Ok(Message::Open(open)) => self.ends[1 - side].said = Some(open),
            // The first node receives only what tests inject, which may be malformed.
            Ok(Message::Update(update)) if self.ends[side].node > 0 => {
                let end = &mut self.ends[side];
                assert_eq!(update.faults, []);
                end.ended.extend(update.end_of_rib);
                for prefix in update.withdrawn {
                    assert!(end.held.remove(&prefix).is_some(), "{prefix} was not there");
                }
                for announced in update.announced {
                    for prefix in announced.prefixes {
                        let route = (announced.next_hop, update.attributes.clone());
                        end.held.insert(prefix, route);
                    }
                }
            }
            _ => {}
        }
    }
}
