//! One attribute on the wire: its bounds, its required flags, and faults that name it.
use super::super::attribute::code;
use super::super::octets::Octets;
use super::super::{Action, ErrorCode, Fault, Notification};

/// An attribute on the wire.
#[derive(Clone, Copy)]
pub(super) struct Wire<'a> {
    pub(super) flags: u8,
    pub(super) code: u8,
    pub(super) value: &'a [u8],
    /// The whole attribute, which is the data of a NOTIFICATION about it (RFC 4271 section 6.3).
    whole: &'a [u8],
}

impl Wire<'_> {
    fn name(&self) -> String {
        match code::name(self.code) {
            "attribute" => format!("attribute {}", self.code),
            name => name.to_owned(),
        }
    }

    pub(super) fn fault(
        &self,
        action: Action,
        error: ErrorCode,
        words: impl AsRef<str>,
        clause: &'static str,
    ) -> Fault {
        let notification = Notification::with(error, self.whole);
        let words = format!("{}: {}", self.name(), words.as_ref());
        Fault { action, notification, words, clause }
    }

    /// Returns the fault for an attribute with a wrong length.
    pub(super) fn length(&self, action: Action, clause: &'static str) -> Fault {
        let words = format!("a length of {} octets", self.value.len());
        self.fault(action, ErrorCode::ATTRIBUTE_LENGTH, words, clause)
    }

    pub(super) fn fixed<const COUNT: usize>(
        &self,
        clause: &'static str,
    ) -> Result<[u8; COUNT], Fault> {
        self.value.try_into().map_err(|_| self.length(Action::TreatAsWithdraw, clause))
    }

    /// Splits the value into a list of entries, which must not be empty.
    pub(super) fn list<const COUNT: usize>(
        &self,
        clause: &'static str,
    ) -> Result<&[[u8; COUNT]], Fault> {
        match self.value.as_chunks() {
            (list, []) if !list.is_empty() => Ok(list),
            _ => Err(self.length(Action::TreatAsWithdraw, clause)),
        }
    }
}

/// Takes the next attribute; `None` if it exceeds the field.
pub(super) fn take<'a>(octets: &mut Octets<'a>) -> Option<Wire<'a>> {
    let before = octets.0;
    let (flags, code) = octets.u8().zip(octets.u8())?;
    let extended = flags & code::EXTENDED_LENGTH != 0;
    let length = if extended { octets.u16()?.into() } else { usize::from(octets.u8()?) };
    let value = octets.take(length)?;
    let whole = &before[..before.len() - octets.len()];
    Some(Wire { flags, code, value, whole })
}

/// Returns the fault for an attribute that exceeds the attribute field: treat-as-withdraw (RFC 7606 section 4),
/// because the total length still locates the routes. If the attribute itself carries routes, they are lost, and
/// section 3 j requires a reset.
pub(super) fn cut_off(rest: &[u8]) -> Result<Fault, Fault> {
    let code = rest.get(1).copied().unwrap_or(0);
    let wire = Wire { flags: 0, code, value: &[], whole: rest };
    let error = ErrorCode::MALFORMED_ATTRIBUTE_LIST;
    let words = "it runs past the end of the attributes";
    if matches!(code, code::MP_REACH | code::MP_UNREACH) {
        return Err(wire.fault(Action::SessionReset, error, words, "RFC 7606 section 3 j"));
    }
    Ok(wire.fault(Action::TreatAsWithdraw, error, words, "RFC 7606 section 4"))
}

/// Returns the fault for an attribute that occurs twice (RFC 7606 section 3 g).
pub(super) fn duplicate(wire: &Wire<'_>) -> Fault {
    let routes = matches!(wire.code, code::MP_REACH | code::MP_UNREACH);
    let action = if routes { Action::SessionReset } else { Action::AttributeDiscard };
    let error = ErrorCode::MALFORMED_ATTRIBUTE_LIST;
    let mut fault = wire.fault(action, error, "occurs twice", "RFC 7606 section 3 g");
    fault.notification.data.clear();
    fault
}

/// Returns the Optional and Transitive flags that a known attribute must have; `None` if the attribute is unknown.
pub(super) fn flags(code: u8) -> Option<u8> {
    Some(match code {
        code::ORIGIN
        | code::AS_PATH
        | code::NEXT_HOP
        | code::LOCAL_PREF
        | code::ATOMIC_AGGREGATE => code::TRANSITIVE,
        code::MULTI_EXIT_DISC
        | code::ORIGINATOR_ID
        | code::CLUSTER_LIST
        | code::MP_REACH
        | code::MP_UNREACH => code::OPTIONAL,
        code::AGGREGATOR
        | code::COMMUNITIES
        | code::EXTENDED_COMMUNITIES
        | code::AS4_PATH
        | code::AS4_AGGREGATOR
        | code::IPV6_EXTENDED_COMMUNITIES
        | code::LARGE_COMMUNITIES
        | code::ONLY_TO_CUSTOMER => code::OPTIONAL | code::TRANSITIVE,
        _ => return None,
    })
}

pub(super) fn is_internal_only(code: u8) -> bool {
    matches!(code, code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST)
}

/// Returns the reaction to wrong flags (RFC 7606 section 3 e and f, RFC 6793 section 6).
pub(super) fn mildest(code: u8) -> Action {
    match code {
        code::ATOMIC_AGGREGATE | code::AGGREGATOR | code::AS4_PATH | code::AS4_AGGREGATOR => {
            Action::AttributeDiscard
        }
        _ => Action::TreatAsWithdraw,
    }
}
