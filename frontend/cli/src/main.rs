//! The command `lazuli`.
//!
//! Exit codes: 0 done, 1 the program, an input or an output is at fault, 2 the command line is.

use clap::{CommandFactory, Parser, error::ErrorKind};
use lazuli::{Config, Level};
use lazuli_cli::args::{Cli, Command, EvalArgs, ExplainArgs};
use lazuli_cli::info::info;
use lazuli_cli::run::{Error, Times, build};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(message) => return fail(&message),
    };
    let result = match cli.command {
        Command::Eval(args) => eval(&args, config),
        Command::Explain(args) => explain(&args, config),
        Command::Info => print(&info(&config)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(1)
}

/// Ends the process as clap ends it where the command line is at fault.
fn usage(subcommand: &str, message: &str) -> ! {
    let mut command = Cli::command();
    command.build();
    match command.find_subcommand_mut(subcommand) {
        Some(command) => command.error(ErrorKind::ValueValidation, message).exit(),
        None => command.error(ErrorKind::ValueValidation, message).exit(),
    }
}

/// Prints a result. A reader who has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Print(e)),
        _ => Ok(()),
    }
}

fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn warn_unused(unused: &[String]) {
    unused.iter().for_each(|name| note(&format!("warning: the input '{name}' is not used")));
}

fn eval(args: &EvalArgs, config: Config) -> Result<(), Error> {
    let request = args.program.request(config).unwrap_or_else(|e| usage("eval", &e.0));
    let mut times = Times::default();
    let built = build(&request, &mut times)?;
    warn_unused(&built.unused);
    if args.explain {
        note(&built.explain(&request.config, Level::Kernel)?);
        times.skip();
    }
    if let Some(text) = built.compute(&request, &mut times)? {
        print(&(text + "\n"))?;
    }
    if args.time {
        for (step, time) in &times.steps {
            note(&format!("{step:<8} {:10.3} ms", time.as_secs_f64() * 1e3));
        }
    }
    Ok(())
}

fn explain(args: &ExplainArgs, config: Config) -> Result<(), Error> {
    let request = args.program.request(config).unwrap_or_else(|e| usage("explain", &e.0));
    let built = build(&request, &mut Times::default())?;
    warn_unused(&built.unused);
    if args.dot {
        return print(&built.dot(&request.config)?);
    }
    print(&built.explain(&request.config, args.level)?)
}
