//! The differential oracle with real speakers: the same inputs for the product, FRR and BIRD, over TCP. The product must answer
//! each as its clause demands; the others' answers are documented beside it.
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};

use crate::bgp::oracle::{Answer, Case, Prober, ROUTE, Tcp, cases, generated};
use crate::bgp::outrigger::Outrigger;
use crate::bgp::router::{Kind, Router};
use crate::bgp::{Family, Neighbor, Net, Speaker};

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const THEM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Seed of the cases that are the same every time.
const SEED: u64 = 0x0b67_0179;

/// Returns the speaker under test, which waits for the prober to connect.
fn speaker() -> Speaker {
    let mut neighbor = Neighbor::at(US, 64513);
    neighbor.families = vec![Family::V4, Family::V6];
    neighbor.passive = true;
    Speaker::new(64512, THEM).with(neighbor)
}

/// Runs all cases against one speaker, in order. `marks` is true if it marks the end of a refresh.
fn ask(
    net: &Net,
    marks: bool,
    cases: &[Case],
    route: impl Fn() -> Result<Option<bool>> + Sync,
) -> Result<Vec<Result<Answer>>> {
    net.at("o").inside(|| {
        let wire = Tcp::new(SocketAddr::from((THEM, 179)), &route);
        let mut prober = Prober::new(wire, US, THEM);
        if !marks {
            prober = prober.of_one_that_may_not_mark();
        }
        Ok(cases.iter().map(|case| prober.ask(case)).collect())
    })
}

/// Checks that the product answers the table's inputs, and this number of generated ones, as their clauses demand, and serves
/// another session at the end.
///
/// # Errors
/// Returns an error with all inputs that it answers otherwise.
pub fn product(more: usize) -> Result<()> {
    let net = Net::pair()?;
    let ours = Outrigger::started(&net, "p", &speaker())?;
    let mut all = cases()?;
    all.extend(generated(SEED, more));
    let answers = ask(&net, true, &all, || Ok(None))?;
    let wrong: Vec<_> = all
        .iter()
        .zip(&answers)
        .filter_map(|(case, answer)| match answer {
            Ok(answer) if case.allows(answer) => None,
            Ok(answer) => Some(format!("{}: {answer}, not {}", case.name, demanded(case))),
            Err(error) => Some(format!("{}: {error:#}", case.name)),
        })
        .collect();
    let report = format!("{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    ensure!(wrong.is_empty(), "{report}\n{}", ours.explain());
    let announcer = ours.announcer()?;
    let restarts = announcer["restarts"].as_u64().unwrap_or_default();
    ensure!(restarts == 0, "the plugin trapped {restarts} times: {announcer}");
    Ok(())
}

/// Returns the answers of FRR and BIRD as a page of documentation.
///
/// # Errors
/// When one cannot be tested.
pub fn page() -> Result<String> {
    let all = cases()?;
    let (frr, bird) = std::thread::scope(|scope| {
        let frr = scope.spawn(|| router(Kind::Frr, &all));
        let bird = scope.spawn(|| router(Kind::Bird, &all));
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Vec<Result<Answer>>>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (join(frr), join(bird))
    });
    let (frr, bird) = (
        frr.context("there are no answers of FRR")?,
        bird.context("there are no answers of BIRD")?,
    );
    let mut page = HEAD.to_owned();
    page += "| input | at | the RFC's answer | clause | FRR 8.4.4 | BIRD 2.0.12 |\n|---|---|---|---|---|---|\n";
    let mut differ = [0, 0];
    for (number, case) in all.iter().enumerate() {
        let cells = [&frr[number], &bird[number]].map(|answer| shown(case, answer));
        for (count, cell) in differ.iter_mut().zip(&cells) {
            *count += u32::from(cell.starts_with("**"));
        }
        page += &format!(
            "| {} | {:?} | {} | {} | {} | {} |\n",
            case.name.replace('|', "\\|"),
            case.at,
            demanded(case),
            case.clause.replace('|', "\\|"),
            cells[0],
            cells[1]
        );
    }
    let [frr, bird] = differ;
    page += &format!(
        "\nOf {} inputs FRR answers {frr} otherwise than the clause, BIRD {bird}, Outrigger none.\n",
        all.len()
    );
    Ok(page)
}

fn router(kind: Kind, all: &[Case]) -> Result<Vec<Result<Answer>>> {
    let net = Net::pair()?;
    let router = Router::start(kind, &speaker(), &net.at("p"), net.folder())?;
    ask(&net, false, all, || Ok(Some(!router.paths(ROUTE)?.is_empty())))
}

/// Highlights an answer that the clause does not allow: where a speaker differs, the RFC is right.
fn shown(case: &Case, answer: &Result<Answer>) -> String {
    match answer {
        Ok(answer) if case.allows(answer) => answer.to_string(),
        Ok(answer) => format!("**{answer}**"),
        // The error's own text contains addresses and times.
        Err(_) => "**no answer**".to_owned(),
    }
}

fn demanded(case: &Case) -> String {
    let allowed: Vec<_> = case.answers.iter().map(ToString::to_string).collect();
    allowed.join(" or ")
}

const HEAD: &str = "\
# BGP: what FRR and BIRD make of malformed input, and what the RFCs ask for

Generated by `OUTRIGGER_CODEGEN=1 cargo test -p outrigger-tests --test bgp oracle -- --include-ignored`, from real runs;
`cargo xtask test --soak` holds this page to them. The inputs are `tests/vectors/bgp-oracle.json`. Outrigger answers every one of them, and a thousand generated ones, as the
clause demands (`--test bgp`, over TCP, and `--test oracle`, as native code); its answer is the first of those in the column.

`n/m` is a NOTIFICATION with that code and subcode, `up/absent` a session that stays without the route, `closed` the end of the
connection without a word. Where a speaker differs from the clause its answer is **bold**, and the clause is right.

";
