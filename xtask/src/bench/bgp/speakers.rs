//! The speakers that are measured, each fed in its own way: ours with Services in a folder, the others with routes in their
//! configuration and by their own command, API or terminal.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use outrigger_tests::bgp::{Kind, Neighbor, Net, Outrigger as Ours, Router as Theirs, Speaker};
use outrigger_tests::{clock, wait};
use serde_json::json;

/// Services in one file.
const PER_FILE: usize = 1000;
/// Where BIRD's configuration has its routes.
const STATIC: &str = "protocol static { ipv4 { preference 250; };";
/// A clock tick of proc(5), which is 100 Hz on every Linux of today (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// A speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// Ours.
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

/// One that is configured and not started.
pub struct Prepared {
    who: Who,
    ours: Option<Ours>,
    speaker: Speaker,
    namespace: outrigger_tests::namespace::Namespace,
    folder: std::path::PathBuf,
}

/// One that runs.
pub enum Running {
    /// Ours.
    Ours(Box<Ours>),
    /// Any other, and who feeds it, if it is fed, in a network of its own.
    Theirs(Theirs, Option<Box<(Theirs, Net)>>),
}

impl Who {
    /// Ours first.
    pub const ALL: [Self; 5] = [Self::Outrigger, Self::Bird, Self::Gobgp, Self::Frr, Self::Exabgp];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        self.kind().map_or("Outrigger", Kind::name)
    }

    /// Which of the others it is.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Outrigger => None,
            Self::Bird => Some(Kind::Bird),
            Self::Gobgp => Some(Kind::Gobgp),
            Self::Frr => Some(Kind::Frr),
            Self::Exabgp => Some(Kind::Exabgp),
        }
    }

    /// Configures it in namespace "o" with so many routes.
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
        // It has no way to take routes in bulk but one call each: BIRD feeds it, and it passes them on.
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

/// The n-th address that is announced: 100.64.0.0 and up (RFC 6598).
fn nth(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number).expect("fewer routes than addresses");
    Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + number)
}

/// A folder with a pool for the routes and a Service for each.
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
    /// Starts it.
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
    /// Asks for one more route, and gives the moment just before.
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

    /// Waits until it has its routes: ours when every Service has its address, GoBGP when BIRD has fed it.
    pub fn await_loaded(&mut self, net: &Net, routes: usize, limit: Duration) -> Result<()> {
        if routes == 0 {
            return Ok(());
        }
        match self {
            Self::Ours(ours) => wait::until("every address is to be announced", limit, || {
                std::thread::sleep(Duration::from_millis(200));
                Ok((ours.desired()? >= routes as u64).then_some(()))
            }),
            Self::Theirs(router, feeder) if router.kind == Kind::Gobgp => {
                // It stays: GoBGP would withdraw what BIRD takes with it.
                *feeder = Some(Box::new(feed(net, router, routes, limit)?));
                Ok(())
            }
            Self::Theirs(..) => Ok(()),
        }
    }

    /// Starts ours again while somebody else leads: it speaks, and allocates nothing, until what is given is dropped.
    pub fn follow(&mut self) -> Result<Option<std::fs::File>> {
        let Self::Ours(ours) = self else { return Ok(None) };
        ours.stop()?;
        let lead = ours.lead_instead()?;
        ours.start()?;
        Ok(Some(lead))
    }

    /// What all of its processes hold in memory, in KiB.
    pub fn rss_kib(&self) -> Result<u64> {
        match self {
            Self::Ours(ours) => ours.daemon()?.rss_kib(),
            Self::Theirs(router, _) => {
                // zebra is FRR's way to the kernel, which a speaker that installs nothing does not need: bgpd alone.
                let rss = router.rss_kib()?;
                Ok(rss.last().context("nothing runs")?.1)
            }
        }
    }

    /// Time on a processor so far, in user and kernel mode.
    pub fn processor_time(&self) -> Result<Duration> {
        let pids = match self {
            Self::Ours(ours) => vec![ours.daemon()?.process_id()],
            Self::Theirs(router, _) => router.pids(),
        };
        let mut ticks = 0;
        for pid in pids {
            let stat =
                std::fs::read_to_string(format!("/proc/{pid}/stat")).context("it is gone")?;
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

/// BIRD in a namespace of its own gives GoBGP its routes.
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
