//! Conversions for the start and the saved state of an announcer. WIT: `machine`.
use outrigger_sdk as sdk;

use super::announcer::exports::outrigger::plugin::machine as wit;
use super::convert::each;

impl From<&sdk::Context> for wit::Context {
    fn from(context: &sdk::Context) -> Self {
        Self {
            instance: context.instance.clone(),
            node: context.node.clone(),
            config: context.config.clone(),
            seed: context.seed.clone(),
            ext: context.ext.clone(),
        }
    }
}

impl From<&sdk::Origin> for wit::Origin {
    fn from(origin: &sdk::Origin) -> Self {
        match origin {
            sdk::Origin::Fresh => Self::Fresh,
            sdk::Origin::Restored(state) => Self::Restored(wit::SavedState {
                format: state.format.clone(),
                data: state.data.clone(),
            }),
        }
    }
}

impl From<wit::SavedState> for sdk::SavedState {
    fn from(state: wit::SavedState) -> Self {
        Self { format: state.format, data: state.data }
    }
}

impl From<wit::StartError> for sdk::StartError {
    fn from(error: wit::StartError) -> Self {
        match error {
            wit::StartError::InvalidConfig(errors) => Self::InvalidConfig(each(errors)),
            wit::StartError::UnknownSnapshot(why) => Self::UnknownSnapshot(why),
            wit::StartError::Other(why) => Self::Other(why),
        }
    }
}
