//! The macros that end a plugin crate. Natively they expand to nothing, so the logic is tested as a plain library;
//! for wasm they export the world through the trait. The bindings are in `guest`.

/// Exports a type that implements [`crate::Announcer`] as a component of the world `announcer`.
///
/// ```
/// # struct Quiet;
/// outrigger_sdk::announcer!(Quiet);
/// ```
#[macro_export]
macro_rules! announcer {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            std::thread_local! {
                static RUNNING: std::cell::RefCell<Option<$plugin>> = const { std::cell::RefCell::new(None) };
            }
            struct Slot;
            impl $crate::guest::Slot for Slot {
                type Machine = $plugin;
                fn with<R>(f: impl FnOnce(&mut Option<$plugin>) -> R) -> R {
                    RUNNING.with_borrow_mut(f)
                }
            }
            type Shell = $crate::guest::Shell<Slot>;
            $crate::guest::announcer::export!(Shell with_types_in $crate::guest::announcer);
        };
    };
}

/// Exports a type that implements [`crate::Policy`] as a component of the world `allocator`.
///
/// ```
/// # struct Generous;
/// outrigger_sdk::policy!(Generous);
/// ```
#[macro_export]
macro_rules! policy {
    ($policy:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Shell = $crate::guest::Shell<$policy>;
    $crate::guest::allocator::export!(Shell with_types_in $crate::guest::allocator);
        };
    };
}
