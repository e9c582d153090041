//! The saved state: the whole instance, because calls made after the snapshot are replayed on it. The capabilities
//! agreed on a session are derived again from its two OPENs.
use outrigger_sdk::{SavedState, StartError};

use crate::state::State;

/// Version of the layout. It must change whenever the layout does, because postcard writes no field names.
const FORMAT: &str = "bgp/1";

pub(crate) fn encode(state: &State) -> SavedState {
    let data = postcard::to_stdvec(state).expect("every field has a postcard form");
    SavedState { format: FORMAT.to_owned(), data }
}

pub(crate) fn decode(saved: &SavedState) -> Result<State, StartError> {
    if saved.format != FORMAT {
        let message = format!("{:?} is not {FORMAT:?}", saved.format);
        return Err(StartError::UnknownSnapshot(message));
    }
    let mut state: State = postcard::from_bytes(&saved.data)
        .map_err(|error| StartError::UnknownSnapshot(format!("damaged {FORMAT}: {error}")))?;
    for neighbour in state.neighbours.values_mut() {
        neighbour.connections.iter_mut().for_each(|connection| connection.restore());
    }
    Ok(state)
}
