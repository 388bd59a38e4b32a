//! The one program: everything is in the library, so that tests and benchmarks can reach it.

fn main() -> std::process::ExitCode {
    backtest_functions::cli::main()
}
