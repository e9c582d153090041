//! The saved state: the whole instance, because later calls are replayed on it. Link indexes in it are valid only for
//! such a replay. Active work is recorded by link name, and `resumed` and the full lists that follow correct the
//! rest.
use outrigger_sdk::{SavedState, StartError};

use crate::Layer2;

/// Format of the snapshot. It must change whenever the layout does, because postcard encodes no field names.
const FORMAT: &str = "layer2/2";

pub(crate) fn encode(instance: &Layer2) -> SavedState {
    let data = postcard::to_stdvec(instance).expect("every field has a postcard form");
    SavedState { format: FORMAT.to_owned(), data }
}

pub(crate) fn decode(state: &SavedState) -> Result<Layer2, StartError> {
    if state.format != FORMAT {
        let message = format!("{:?} is not {FORMAT:?}", state.format);
        return Err(StartError::UnknownSnapshot(message));
    }
    postcard::from_bytes(&state.data)
        .map_err(|error| StartError::UnknownSnapshot(format!("damaged {FORMAT}: {error}")))
}
