//! The measured speakers, each fed in its own way: Outrigger with Services in a folder, the others with routes in their
//! configuration and through their own command, API or terminal.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use outrigger_tests::bgp::{Kind, Neighbor, Net, Outrigger as Ours, Router as Theirs, Speaker};
use outrigger_tests::{clock, wait};
use serde_json::json;

/// Number of Services in one file.
const PER_FILE: usize = 1000;
/// Line of BIRD's configuration that holds its routes.
const STATIC: &str = "protocol static { ipv4 { preference 250; };";
/// Clock tick of proc(5), which is 100 Hz on every current Linux (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// BGP speaker to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// Outrigger.
    Outrigger,
    /// BIRD.
    Bird,
    /// GoBGP.
    Gobgp,
    /// FRR.
    Frr,
    /// ExaBGP.
    Exabgp,
}

/// Speaker that is configured and not started.
pub struct Prepared {
    who: Who,
    ours: Option<Ours>,
    speaker: Speaker,
    namespace: outrigger_tests::namespace::Namespace,
    folder: std::path::PathBuf,
}

/// Speaker that runs.
pub enum Running {
    /// Outrigger.
    Ours(Box<Ours>),
    /// Any other speaker, and the router that feeds it in a network of its own, if it is fed.
    Theirs(Theirs, Option<Box<(Theirs, Net)>>),
}

impl Who {
    /// All speakers, Outrigger first.
    pub const ALL: [Self; 5] = [Self::Outrigger, Self::Bird, Self::Gobgp, Self::Frr, Self::Exabgp];

    /// Returns the name as printed.
    pub fn name(self) -> &'static str {
        self.kind().map_or("Outrigger", Kind::name)
    }

    /// Returns the make of router; `None` for Outrigger.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Outrigger => None,
            Self::Bird => Some(Kind::Bird),
            Self::Gobgp => Some(Kind::Gobgp),
            Self::Frr => Some(Kind::Frr),
            Self::Exabgp => Some(Kind::Exabgp),
        }
    }

    /// Configures the speaker in namespace "o" with this number of routes.
    pub fn prepare(self, net: &Net, speaker: &Speaker, routes: usize) -> Result<Prepared> {
        let mut speaker = speaker.clone();
        let ours = match self {
            Self::Outrigger => Some(ours(net, &speaker, routes)?),
            _ => {
                speaker.networks =
                    (0..routes).map(|number| format!("{}/32", nth(number))).collect();
                None
            }
        };
        // GoBGP can take routes in bulk only with one call each: BIRD feeds it, and it passes them on.
        if self == Self::Gobgp && routes > 0 {
            speaker.networks.clear();
            speaker = speaker.with(Neighbor::at(Ipv4Addr::new(10, 79, 0, 2), 64999));
        }
        Ok(Prepared {
            who: self,
            ours,
            speaker,
            namespace: net.at("o"),
            folder: net.folder().to_path_buf(),
        })
    }
}

/// Returns the n-th announced address: 100.64.0.0 and up (RFC 6598).
fn nth(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number).expect("fewer routes than addresses");
    Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + number)
}

/// Creates a folder with a pool for the routes and a Service for each.
fn ours(net: &Net, speaker: &Speaker, routes: usize) -> Result<Ours> {
    let ours = Ours::new(net, "o")?;
    ours.speak(speaker, json!({}))?;
    if routes == 0 {
        return Ok(ours);
    }
    let pool = json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "AddressPool",
        "metadata": { "name": "many" },
        "spec": {
            "addresses": [format!("{}-{}", nth(0), nth(routes - 1))], "priority": 1, "announcers": ["bgp"],
        },
    });
    ours.remove("pool.yaml")?;
    ours.put("many.yaml", &pool.to_string())?;
    let numbers: Vec<_> = (0..routes).collect();
    for (file, numbers) in numbers.chunks(PER_FILE).enumerate() {
        let services = numbers.iter().map(|number| {
            format!(
                "---\napiVersion: v1\nkind: Service\nmetadata: {{namespace: default, name: s{number}}}\nspec: {{type: \
                 LoadBalancer, ports: [{{port: 80}}]}}\n"
            )
        });
        ours.put(&format!("services-{file}.yaml"), &services.collect::<String>())?;
    }
    Ok(ours)
}

impl Prepared {
    /// Starts the speaker.
    pub fn start(self) -> Result<Running> {
        match (self.ours, self.who.kind()) {
            (Some(mut ours), _) => {
                ours.start()?;
                Ok(Running::Ours(Box::new(ours)))
            }
            (None, Some(kind)) => {
                let router = Theirs::start(kind, &self.speaker, &self.namespace, &self.folder)?;
                Ok(Running::Theirs(router, None))
            }
            (None, None) => unreachable!("what is no other make is ours"),
        }
    }
}

impl Running {
    /// Requests one more route, and returns the moment just before.
    pub fn announce(&self, address: Ipv4Addr) -> Result<Instant> {
        let number = address.octets()[3];
        let router = match self {
            Self::Ours(ours) => {
                let begin = clock::now();
                ours.put(
                    &format!("one-{number}.yaml"),
                    &outrigger_tests::cluster::service(&format!("one-{number}"), ""),
                )?;
                return Ok(begin);
            }
            Self::Theirs(router, _) => router,
        };
        let begin = clock::now();
        match router.kind {
            Kind::Bird => {
                let file = router.folder().join("bird.conf");
                let text = std::fs::read_to_string(&file)?;
                let (before, after) = text
                    .split_once(STATIC)
                    .with_context(|| format!("{} has no {STATIC:?}", file.display()))?;
                let route = format!("route {address}/32 blackhole;");
                std::fs::write(&file, format!("{before}{STATIC} {route}{after}"))?;
                let begin = clock::now();
                router.say("configure")?;
                return Ok(begin);
            }
            Kind::Frr => router.say(&format!(
                "configure terminal\nrouter bgp 64512\naddress-family ipv4 unicast\nnetwork {address}/32"
            ))?,
            Kind::Gobgp => router.say(&format!("global rib add {address}/32 -a ipv4"))?,
            Kind::Exabgp => router.say(&format!("announce route {address}/32 next-hop self"))?,
        };
        Ok(begin)
    }

    /// Waits until the speaker has its routes: for Outrigger when every Service has its address, for GoBGP when BIRD has fed
    /// it.
    pub fn await_loaded(&mut self, net: &Net, routes: usize, limit: Duration) -> Result<()> {
        if routes == 0 {
            return Ok(());
        }
        match self {
            Self::Ours(ours) => wait::until("every address has an announcer", limit, || {
                std::thread::sleep(Duration::from_millis(200));
                Ok((ours.desired()? >= routes as u64).then_some(()))
            }),
            Self::Theirs(router, feeder) if router.kind == Kind::Gobgp => {
                // The feeder keeps running: GoBGP would withdraw its routes if BIRD ended.
                *feeder = Some(Box::new(feed(net, router, routes, limit)?));
                Ok(())
            }
            Self::Theirs(..) => Ok(()),
        }
    }

    /// Restarts Outrigger while another holder has the leader lock: it speaks BGP and allocates nothing until the returned file
    /// is dropped. Returns `None` for other speakers.
    pub fn follow(&mut self) -> Result<Option<std::fs::File>> {
        let Self::Ours(ours) = self else { return Ok(None) };
        ours.stop()?;
        let lead = ours.lead_instead()?;
        ours.start()?;
        Ok(Some(lead))
    }

    /// Returns the RSS of all its processes, in KiB.
    pub fn rss_kib(&self) -> Result<u64> {
        match self {
            Self::Ours(ours) => ours.daemon()?.rss_kib(),
            Self::Theirs(router, _) => {
                // zebra is FRR's way to the kernel, which a speaker that installs nothing does not need: only bgpd counts.
                let rss = router.rss_kib()?;
                Ok(rss.last().context("nothing runs")?.1)
            }
        }
    }

    /// Returns the processor time used so far, in user and kernel mode.
    pub fn processor_time(&self) -> Result<Duration> {
        let pids = match self {
            Self::Ours(ours) => vec![ours.daemon()?.process_id()],
            Self::Theirs(router, _) => router.pids(),
        };
        let mut ticks = 0;
        for pid in pids {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .context("the process is gone")?;
            let (_, rest) = stat.rsplit_once(") ").context("no name in stat")?;
            // utime and stime are fields 14 and 15 of proc(5); the state is field 3.
            let mut fields = rest.split(' ').skip(11);
            for _ in 0..2 {
                ticks += fields.next().context("a short stat")?.parse::<u32>()?;
            }
        }
        Ok(TICK * ticks)
    }
}

/// Starts BIRD in a namespace of its own, from where it feeds GoBGP its routes.
fn feed(net: &Net, router: &Theirs, routes: usize, limit: Duration) -> Result<(Theirs, Net)> {
    let feeder = Net::new(&["f"])?;
    let far = feeder.at("f");
    net.at("o").ip(&format!(
        "link add feed type veth peer name eth0 netns {}\nlink set feed up\naddr add 10.79.0.1/24 dev feed\n",
        far.name()
    ))?;
    far.ip("link set eth0 up\naddr add 10.79.0.2/24 dev eth0\n")?;
    let mut speaker = Speaker::new(64999, Ipv4Addr::new(10, 79, 0, 2))
        .with(Neighbor::at(Ipv4Addr::new(10, 79, 0, 1), 64512));
    speaker.networks = (0..routes).map(|number| format!("{}/32", nth(number))).collect();
    let bird = Theirs::start(Kind::Bird, &speaker, &far, feeder.folder())?;
    wait::until("GoBGP is fed", limit, || {
        std::thread::sleep(Duration::from_millis(500));
        let count = router.count(outrigger_tests::bgp::Family::V4)?;
        Ok((count >= routes).then_some(()))
    })?;
    Ok((bird, feeder))
}
