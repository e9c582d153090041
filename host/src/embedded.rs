//! The plugins that come with the daemon, so that it serves before any is delivered. Built by `build.rs`.

/// A component that is embedded in the binary.
pub struct Embedded {
    /// The name that pools and announcers use.
    pub name: &'static str,
    /// Bytes of the component.
    pub bytes: &'static [u8],
    /// The component compiled for every CPU of this architecture.
    pub compiled: &'static [u8],
}

/// All embedded plugins, by name.
pub const PLUGINS: &[Embedded] = &[
    Embedded {
        name: "bgp",
        bytes: include_bytes!(env!("OUTRIGGER_BGP")),
        compiled: include_bytes!(env!("OUTRIGGER_BGP_COMPILED")),
    },
    Embedded {
        name: "layer2",
        bytes: include_bytes!(env!("OUTRIGGER_LAYER2")),
        compiled: include_bytes!(env!("OUTRIGGER_LAYER2_COMPILED")),
    },
    Embedded {
        name: "lowest-free",
        bytes: include_bytes!(env!("OUTRIGGER_LOWEST_FREE")),
        compiled: include_bytes!(env!("OUTRIGGER_LOWEST_FREE_COMPILED")),
    },
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_plugins_that_come_with_the_daemon_are_those_that_one_may_go_back_to() {
        let names: Vec<&str> = super::PLUGINS.iter().map(|plugin| plugin.name).collect();
        assert_eq!(names, outrigger_core::plan::SHIPPED);
    }
}
