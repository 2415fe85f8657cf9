//! Project automation: `cargo xtask --help`.
//!
//! | module | command |
//! |---|---|
//! | `test` | `test`, `bless`: the oracle, then every test |
//! | `bench` | `bench`: the benchmarks beside their peers, or another commit |
//! | `accuracy` | `accuracy`: the errors and the cost of the vector math library |
//! | `docs` | `docs`: the reference generated from the op table |
//! | `ops` | `ops-json`: the op table for other languages |
//! | `python` | the virtual environment the others use |

use std::process::ExitCode;

mod accuracy;
mod bench;
mod docs;
mod ops;
mod python;
mod shell;
mod test;

const HELP: &str = "\
cargo xtask: automation of the project

Usage: cargo xtask <command> [options]

  test [args]       every test. With python3, NumPy's results come first, into target/oracle/, and the
                    tests compare with them; without, that part says 'skipped' and the rest runs.
                    args go to `cargo test` in place of --workspace: cargo xtask test -p lazuli-tests
  oracle            only write NumPy's results into target/oracle/
  bless [args]      rewrite the expectations of the text tests; look at the difference before you commit
  docs [--check]    write docs/reference.md from the op table; --check fails where it is stale
  accuracy [options]
                    measure the errors of the functions, and write docs/accuracy.md
                    --filter NAME   only functions whose name contains NAME (writes no page)
                    --quick         few arguments, in seconds (writes no page)
                    --step N        one of N float32 values; all of them take three quarters of an hour
                    --cost          only count instructions (writes no page)
                    --check         write nothing; fail where the page is stale or a bound is broken
  bench [options]   time Lazuli and its peers by turns; write benches/results/ and docs/benchmarks.md
                    With any of these it prints only:
                    --peers LIST    only these: numpy,numexpr,jax,torch,numba,ndarray
                    --filter LIST   only workloads whose name contains one of these
                    --sizes LIST    these numbers of elements, such as 1k,100k,10M
                    --quick         short runs, to see that all works
                    --no-write      the whole run
                    --threads N     in place of one for each core
                    --compare REV   in place of peers, the commit REV: fails where this one is slower beyond noise
  ops-json          print the op table as JSON
  help, --help      this text

Environment: PYTHON (default python3), CARGO_TARGET_DIR (default target).
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    if rest.iter().any(|a| a == "-h" || a == "--help") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let result = match command.as_deref() {
        Some("test") => test::test(&rest),
        Some("oracle") => test::oracle_only(&rest),
        Some("bless") => test::bless(&rest),
        Some("docs") => docs::run(&rest),
        Some("accuracy") => accuracy::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("ops-json") => ops::print(&rest),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("unknown command '{other}'\n\n{HELP}")),
        None => Err(HELP.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
