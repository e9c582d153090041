//! Explains why no announcer covers an address, with the fixes. Must not know nodes.
use super::super::announcers;
use super::AddressQuestion;

impl AddressQuestion<'_> {
    /// Returns the fault and the fixes.
    pub(super) fn uncovered(&self) -> (String, Vec<String>) {
        let Some(home) = &self.home else {
            let fix = format!(
                "add {} to spec.addresses of an AddressPool (kubectl edit addresspool NAME)",
                self.address
            );
            return ("no AddressPool contains it".to_owned(), vec![fix]);
        };
        let all = announcers(self.cluster);
        let (mut wrong, mut fixes) = (Vec::new(), Vec::new());
        for name in home.announcers.iter().flatten().filter(|name| !all.contains_key(*name)) {
            wrong.push(format!(
                "AddressPool {} names {name} in spec.announcers, and there is no Announcer {name}",
                home.pool
            ));
            let there: Vec<String> = all.values().map(|one| self.title(one)).collect();
            let (pool, there) = (&home.pool, there.join(", "));
            fixes.push(format!(
                "correct spec.announcers of AddressPool {pool}: kubectl edit addresspool {pool} (existing: {there})"
            ));
            fixes.push(format!(
                "remove spec.announcers of AddressPool {pool}, to use every announcer: kubectl edit addresspool {pool}"
            ));
            fixes.push(format!(
                "create Announcer {name} (to see its fields: kubectl explain announcer.spec)"
            ));
        }
        let named =
            |name: &String| home.announcers.as_ref().is_none_or(|names| names.contains(name));
        let services: Vec<String> =
            self.services.iter().map(|service| service.key.to_string()).collect();
        let services = services.join(", ");
        for announcer in all.values().filter(|one| named(&one.name)) {
            wrong.push(format!(
                "spec.serviceSelector ({}) of {} does not match the labels of Service {services}",
                announcer.service_selector,
                self.title(announcer)
            ));
            fixes.push(format!(
                "change spec.serviceSelector of {}: kubectl edit announcer {}",
                self.title(announcer),
                announcer.name
            ));
            fixes.push(format!("label Service {services} so that it matches"));
        }
        if wrong.is_empty() {
            wrong.push(format!("spec.announcers of AddressPool {} is empty", home.pool));
            fixes.push(format!(
                "name an Announcer there, or remove spec.announcers to use all of them (kubectl edit addresspool {})",
                home.pool
            ));
        }
        (wrong.join("; "), fixes)
    }
}
