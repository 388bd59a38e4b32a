//! Benchmarks of the hot paths: `cargo bench`, or `cargo bench -- engine` for one group. One table at the end.

mod engine;
mod handler;
mod import;
mod load;
mod panels;
mod peers;
mod runs;
mod statistics;
mod studies;
mod sync;
mod table;
mod trust;

use std::time::SystemTime;

use criterion::Criterion;

fn main() {
    if peers::export() || sync::bench() {
        return;
    }
    let begin = SystemTime::now();
    let mut criterion = Criterion::default().configure_from_args();
    engine::bench(&mut criterion);
    load::bench(&mut criterion);
    import::bench(&mut criterion);
    statistics::bench(&mut criterion);
    studies::bench(&mut criterion);
    trust::bench(&mut criterion);
    criterion.final_summary();
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let mut rates = runs::bench(filter.as_deref());
    rates.extend(studies::service(filter.as_deref()));
    table::print(begin, &rates);
}
