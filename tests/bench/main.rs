//! Benchmarks of the hot paths: `cargo bench`, or `cargo bench -- engine` for one group.

mod engine;
mod load;
mod panels;
mod sync;

use criterion::Criterion;

fn main() {
    if sync::bench() {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    engine::bench(&mut criterion);
    load::bench(&mut criterion);
    criterion.final_summary();
}
