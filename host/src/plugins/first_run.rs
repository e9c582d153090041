//! First run of a plugin from a folder: if the daemon ends in its first moments, the plugin is not run again. In a
//! cluster the controller tries candidates instead, with more information.
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::facts;

use super::{Plugins, digest_of};

/// Time after which the plugin is no longer blamed for the end of the daemon.
const FIRST_MOMENTS: Duration = Duration::from_secs(10);

impl Plugins {
    /// Accepts a delivery on a thread of its own, because inspecting and compiling are slow, and calls `done` when that
    /// is finished.
    pub fn run(
        self: Arc<Self>,
        delivery: Arc<facts::Plugin>,
        done: impl FnOnce() + Send + 'static,
    ) {
        tokio::task::spawn_blocking(move || {
            self.deliver_first(&delivery);
            done();
            tokio::spawn(async move {
                tokio::time::sleep(FIRST_MOMENTS).await;
                self.outlived(&delivery);
            });
        });
    }

    /// Accepts a delivery as [`Plugins::deliver`] does, unless the daemon ended in the first moments of the same bytes.
    /// Blocks.
    fn deliver_first(&self, delivery: &facts::Plugin) {
        let facts::Plugin { name, origin, component } = delivery;
        let (trying, proved) = words(component);
        let noted = self.attempts.noted(name);
        if noted.as_ref() == Some(&trying) {
            let message = format!(
                "the daemon ended within {} s of its first run, and does not run it again: deliver another build, or remove the file, wait a second, and put it back",
                FIRST_MOMENTS.as_secs()
            );
            tracing::warn!(plugin = name, origin, "plugin refused: {message}");
            self.write().entry(name.clone()).or_default().failed = Some((origin.clone(), message));
            return;
        }
        if noted.as_ref() != Some(&proved) {
            self.note(name, &trying);
        }
        self.deliver(delivery);
    }

    /// Records that the daemon has outlived the first moments of this delivery.
    fn outlived(&self, delivery: &facts::Plugin) {
        let (trying, proved) = words(&delivery.component);
        if self.attempts.noted(&delivery.name) == Some(trying) {
            self.note(&delivery.name, &proved);
        }
    }

    /// Forgets earlier runs, so that the next delivery under this name runs for the first time.
    pub fn forget_first_run(&self, name: &str) {
        self.attempts.end(name);
    }

    /// Clears the notes of current first runs, because the daemon ends in order and no plugin is to blame.
    pub fn end_first_runs(&self) {
        for listed in self.list() {
            if self.attempts.noted(&listed.name).is_some_and(|noted| noted.starts_with(TRYING)) {
                self.attempts.end(&listed.name);
            }
        }
    }

    fn note(&self, name: &str, words: &str) {
        if let Err(error) = self.attempts.note(name, words) {
            tracing::warn!(plugin = name, "the first run cannot be recorded on the disk: {error}");
        }
    }
}

const TRYING: &str = "trying";

/// Returns the notes for bytes that are being tried, and for bytes that have proved themselves.
fn words(component: &facts::Component) -> (String, String) {
    let digest = digest_of(component);
    (format!("{TRYING} {digest}"), format!("proved {digest}"))
}

#[cfg(test)]
mod tests {
    use outrigger_core::facts::Component;
    use outrigger_runtime::{Compiler, Engine};

    use super::*;
    use crate::embedded;

    fn daemon(cache: &tempfile::TempDir) -> Plugins {
        let compiler = Compiler::new("/nonexistent".into(), vec![], cache.path().join("cache"));
        Plugins::new(Engine::new().unwrap(), compiler).unwrap()
    }

    /// A delivery that needs no compiler here: its bytes are embedded too, and compiled with the program.
    fn delivery() -> facts::Plugin {
        let layer2 = embedded::PLUGINS.iter().find(|it| it.name == "layer2").unwrap();
        facts::Plugin {
            name: "layer2".to_owned(),
            origin: "layer2.wasm".to_owned(),
            component: Component::Inline(layer2.bytes.into()),
        }
    }

    fn serves(plugins: &Plugins) -> (String, String) {
        let listed = plugins.list().into_iter().find(|it| it.name == "layer2").unwrap();
        let why = listed.failed.map(|(_, why)| why).unwrap_or_default();
        (listed.in_force.unwrap().origin, why)
    }

    #[test]
    fn what_a_daemon_died_of_is_not_run_again_until_it_is_put_there_anew() {
        let cache = tempfile::tempdir().unwrap();
        daemon(&cache).deliver_first(&delivery());
        // The daemon crashed.
        let plugins = daemon(&cache);
        plugins.deliver_first(&delivery());
        let (origin, why) = serves(&plugins);
        assert_eq!(origin, "embedded");
        assert!(why.contains("does not run it again: deliver another build"), "{why}");
        let plugins = daemon(&cache);
        plugins.deliver_first(&delivery());
        assert_eq!(serves(&plugins).0, "embedded", "nor after the next one");
        plugins.forget_first_run("layer2");
        plugins.deliver_first(&delivery());
        assert_eq!(serves(&plugins), ("layer2.wasm".to_owned(), String::new()));
    }

    #[test]
    fn what_outlived_its_first_moments_and_what_ended_in_order_is_not_to_blame() {
        let cache = tempfile::tempdir().unwrap();
        let plugins = daemon(&cache);
        plugins.deliver_first(&delivery());
        plugins.end_first_runs();
        let plugins = daemon(&cache);
        plugins.deliver_first(&delivery());
        assert_eq!(serves(&plugins).0, "layer2.wasm");
        plugins.outlived(&delivery());
        for _ in 0..3 {
            // The daemon crashes for another reason.
            let plugins = daemon(&cache);
            plugins.deliver_first(&delivery());
            assert_eq!(serves(&plugins).0, "layer2.wasm");
        }
    }
}
