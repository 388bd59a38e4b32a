//! The faults: which ones, when, and how they are done. The seed decides everything that a test can decide.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::world::World;
use super::{queue, work};
use crate::support::pg_proxy::Cut;
use crate::support::service::delivery;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL of a handler.
    Kill,
    /// SIGSTOP until its runs were taken over, then SIGCONT.
    Stop,
    /// The same while somebody cancels what it executes.
    StopAndCancel,
    /// An immediate restart of the database.
    Restart,
    /// The end of half of the sessions.
    Terminate,
    /// The answer to a statement gets lost.
    Cut(&'static str),
    /// A finish is on its way until its run was taken over.
    LateFinish,
    /// Nothing passes between handlers and database for a while.
    Delay,
    /// A message that names no run.
    Nonsense,
}

/// How many of each there are in the whole time.
const FAULTS: [(Fault, usize); 17] = [
    (Fault::Kill, 60),
    (Fault::Stop, 28),
    (Fault::StopAndCancel, 12),
    (Fault::Restart, 6),
    (Fault::Terminate, 12),
    (Fault::Cut("-- runs.claim\n"), 20),
    (Fault::Cut("-- runs.complete\n"), 20),
    (Fault::Cut("-- runs.insert\n"), 14),
    (Fault::Cut("-- runs.insert_study\n"), 3),
    (Fault::Cut("-- ledger.count\n"), 6),
    (Fault::Cut("-- runs.beat\n"), 12),
    (Fault::Cut("-- runs.announce\n"), 8),
    (Fault::Cut("-- runs.overdue\n"), 4),
    (Fault::Cut("-- runs.ask_cancel\n"), 2),
    (Fault::LateFinish, 24),
    (Fault::Delay, 10),
    (Fault::Nonsense, 20),
];

/// Lets all of them happen, spread over the time.
pub(super) async fn rage(world: &Arc<World>) {
    let mut rng = ChaCha8Rng::seed_from_u64(world.seed);
    let mut plan = Vec::new();
    for (fault, count) in FAULTS {
        let count = world.size.of(count);
        // Evenly, each somewhere in its part of the time, so that the rare ones do not come together.
        let part = world.size.seconds / count as f64;
        plan.extend(
            (0..count).map(|n| ((n as f64 + rng.random::<f64>()) * part, fault, rng.random::<u64>())),
        );
    }
    plan.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (started, mut under_way) = (Instant::now(), Vec::new());
    for (at, fault, seed) in plan {
        tokio::time::sleep_until(started + Duration::from_secs_f64(at)).await;
        under_way.push(tokio::spawn(happen(world.clone(), fault, ChaCha8Rng::seed_from_u64(seed))));
    }
    for fault in under_way {
        fault.await.unwrap();
    }
}

async fn happen(world: Arc<World>, fault: Fault, mut rng: ChaCha8Rng) {
    let slot = &world.fleet[rng.random_range(0..world.fleet.len())];
    let mut millis = |range| Duration::from_millis(rng.random_range(range));
    match fault {
        Fault::Kill => {
            world.journal.note("SIGKILL", &slot.name);
            slot.kill(&world.home, None).await;
        }
        Fault::Stop | Fault::StopAndCancel => {
            // Whoever executes something, if anybody does; for 1.5 to 3 leases.
            let slot = world.busy().await.unwrap_or(slot);
            let time = millis(3000..6000);
            world.journal.note("SIGSTOP, SIGCONT", format_args!("{} for {time:?}", slot.name));
            let id = slot.stop().await;
            if matches!(fault, Fault::StopAndCancel) {
                work::cancel_what_it_executes(&world, &format!("{}:{id}/", slot.name)).await;
            }
            sleep(time).await;
            lost(&world, |_, owner| owner.starts_with(&format!("{}:{id}/", slot.name))).await;
            slot.go_on(id).await;
        }
        Fault::Restart => {
            let server = world.server.lock().await;
            let since = Instant::now();
            tokio::task::block_in_place(|| server.control(&["restart", "-m", "immediate"]));
            world.journal.note("immediate restart of Postgres", format_args!("in {:?}", since.elapsed()));
        }
        Fault::Terminate => {
            let sessions = world
                .ask(
                    "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity \
                     WHERE application_name LIKE 'backtests chaos-%' AND pid % 2 = 0",
                )
                .await;
            world.journal.note("half of the sessions terminated", sessions.len());
        }
        Fault::Cut(statement) => {
            world.journal.note("reply cut", statement.trim());
            world.proxy.cut(statement, Cut::BeforeReply);
        }
        Fault::LateFinish => {
            let held = world.proxy.hold_back("-- runs.complete\n");
            // Not waited for: the time may be over before a finish comes.
            tokio::spawn(async move {
                let Ok(sent) = held.shown.await else { return };
                let before = Instant::now();
                let is_of = |text: &str| sent.windows(text.len()).any(|part| part == text.as_bytes());
                // The statement names the run and its owner.
                lost(&world, |run, owner| is_of(run) && is_of(owner)).await;
                world.journal.note("finish held back", format_args!("{:?}", before.elapsed()));
                let _ = held.release.send(());
            });
        }
        Fault::Delay => {
            let time = millis(100..800);
            world.journal.note("delay window", format_args!("{time:?}"));
            world.proxy.hold(time);
        }
        Fault::Nonsense => {
            let data = match rng.random_range(0..5) {
                0 => json!({ "run": "%%%" }),
                1 => delivery("{"),
                2 => delivery(r#"{"v":1}"#),
                3 => delivery(r#"{"v":1,"run_id":"../../etc"}"#),
                _ => json!({}),
            };
            queue::send_nonsense(&world, data);
        }
    }
}

/// Longest wait for somebody to take a run over. Only who has nobody left to take it over needs so long.
const TAKE_OVER: Duration = Duration::from_secs(20);

/// Waits until no run is held any more of which this is so by its id and owner.
async fn lost(world: &World, is_one: impl Fn(&str, &str) -> bool) {
    let since = Instant::now();
    while since.elapsed() < TAKE_OVER {
        if !world.held().await.iter().any(|(run, owner)| is_one(run, owner)) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
