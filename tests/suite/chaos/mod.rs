//! The chaos run: four handlers execute many runs while everything around them fails, by seed. When the faults have
//! stopped and the last run has ended, what rows, events, files and logs say must hold together, and enough must have gone
//! wrong for that to mean something. `make chaos` runs it; `CHAOS_SEED` repeats one, `CHAOS_SECONDS` makes it short or long.
//!
//! Where the service has a constant, time is made to pass faster from outside ([`world::World::let_time_pass`]). The runs
//! that abort their process do so by the test's hand: whoever claims one of them is killed.

mod evidence;
mod fleet;
mod invariants;
mod journal;
mod queue;
mod storm;
mod work;
mod world;

use std::time::{Duration, Instant};

use evidence::Evidence;
use invariants::INVARIANTS;
use world::World;

/// How much of everything there is, in proportion to the time.
#[derive(Clone, Copy)]
struct Size {
    seconds: f64,
}

impl Size {
    /// The time for which the numbers below are meant.
    const WHOLE: f64 = 170.0;

    fn asked() -> Self {
        Self { seconds: number("CHAOS_SECONDS").unwrap_or(Self::WHOLE) }
    }

    /// The share of `whole` that fits into the time; at least one.
    fn of(self, whole: usize) -> usize {
        ((whole as f64 * self.seconds / Self::WHOLE).round() as usize).max(1)
    }

    /// The same for what must have happened at least, which may be nothing in a short time.
    fn at_least(self, whole: usize) -> usize {
        (whole as f64 * self.seconds / Self::WHOLE).floor() as usize
    }
}

/// Longest time from the last fault to the end of the last run. On a machine of its own 20 s are enough; but what is stuck is
/// stuck for ever, and what is only slow, because the machine does other things too, is not a fault.
const SETTLE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make chaos"]
async fn runs_come_to_their_one_end_whatever_fails() {
    let seed = number("CHAOS_SEED").unwrap_or_else(|| f64::from(uuid::Uuid::new_v4().as_fields().0));
    let size = Size::asked();
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={}", size.seconds);
    let Some(world) = World::start(seed as u64, size).await else { return };
    println!("log of the faults and of the handlers: {}", world.journal.folder().display());

    let wanted = work::results_without_faults(&world).await;
    let hands = world.open();
    let work = tokio::spawn(work::go(world.clone()));
    storm::rage(&world).await;
    work.await.unwrap();
    world.calm();
    let since = Instant::now();
    let unsettled = world.settles(SETTLE).await;
    let settled = since.elapsed();
    world.close();
    for hand in hands {
        hand.await.unwrap();
    }
    let evidence = Evidence::gather(&world, wanted, unsettled).await;

    println!("{}", world.journal.table("what was done and what befell it"));
    println!("settled {:.1} s after the last fault", settled.as_secs_f64());
    let mut wrong = evidence.told.complaints.clone();
    println!("\n  seen  at least");
    for (what, seen, least) in evidence.guards() {
        let least = size.at_least(least);
        println!("{seen:6}  {least:8}  {what}");
        if seen < least {
            wrong.push(format!("only {seen} {what}, which is too few to say anything; {least} are needed"));
        }
    }
    println!();
    for (number, (what, holds)) in INVARIANTS.iter().enumerate() {
        let broken = holds(&evidence);
        let verdict =
            if broken.is_empty() { "holds".to_owned() } else { format!("{} times broken", broken.len()) };
        println!("{:2}. {what}: {verdict}", number + 1);
        wrong.extend(broken.into_iter().take(10).map(|one| format!("{}. {one}", number + 1)));
    }
    assert!(wrong.is_empty(), "CHAOS_SEED={seed} CHAOS_SECONDS={}:\n{}", size.seconds, wrong.join("\n"));
}

fn number(variable: &str) -> Option<f64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
