//! `outrigger:plugin@0.1`: generated bindings, and conversions between their types and those of the SDK.

mod convert;
mod convert_announcer;
mod effects;
mod endpoints;
mod events;
mod imports;
mod policy;

/// World `allocator-with-hooks`. An allocator without hooks has the same `policy`, and its hooks are not looked up.
pub(crate) mod allocator {
    wasmtime::component::bindgen!({ path: "../../wit", world: "allocator-with-hooks" });
}

/// World `announcer`, sharing the types that both worlds import.
pub(crate) mod announcer {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "announcer",
        with: {
            "outrigger:plugin/types": super::allocator::outrigger::plugin::types,
            "outrigger:plugin/http": super::allocator::outrigger::plugin::http,
            "outrigger:plugin/log": super::allocator::outrigger::plugin::log,
        },
    });
}
