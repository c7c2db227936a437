//! From the command line to an exit code: 0 if all went well or a signal stopped the server, 2 for a wrong
//! configuration, 1 otherwise; client commands have more.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use log::{Level, error, log_enabled};

use inventor::client;
use inventor::config::{self, Config, Invocation};
use inventor::http::server;
use inventor::http_client;
use inventor::logging::{self, Format};
use inventor::serve::serve;
use inventor::systemd;

fn main() -> ExitCode {
    systemd::notify_at(config::notify_socket());
    let _end = logging::End;
    match config::read() {
        Ok(Invocation::Serve(config)) => run(*config),
        Ok(Invocation::Healthcheck(endpoint, question)) => match http_client::healthcheck(&endpoint, &question) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(1, &e),
        },
        Ok(Invocation::Client(command)) => {
            if let Some(log) = &command.log {
                logging::start(log, http_client::WIRE_LOGS);
            }
            match client::run(&command) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => fail(failure.code(), &failure),
            }
        }
        Ok(Invocation::Manual(directory)) => match config::write_manual(&directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(2, &format!("{}: {e}", directory.display())),
        },
        Ok(Invocation::Completions(shell)) => print(&config::completions(shell)),
        Ok(Invocation::Print(text)) => print(&text),
        Ok(Invocation::Usage(text)) => {
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::from(2)
        }
        Err(e) => fail(2, &e),
    }
}

fn run(config: Config) -> ExitCode {
    let is_json = config.log.format == Format::Json;
    logging::start(&config.log, &[server::ENGINE_LOGS, http_client::WIRE_LOGS].concat());
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        // A log in JSON contains nothing else.
        Err(e) if is_json && log_enabled!(Level::Error) => {
            error!(reason = e.reason; "the server cannot start");
            ExitCode::from(e.code)
        }
        Err(e) => fail(e.code, &e.reason),
    }
}

fn print(text: &str) -> ExitCode {
    let mut output = io::stdout();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // A reader that closes the pipe early has read enough.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => fail(2, &format!("standard output: {e}")),
        _ => ExitCode::SUCCESS,
    }
}

fn fail(code: u8, error: &dyn Display) -> ExitCode {
    logging::print(&format!("inventor: {error}\n"));
    ExitCode::from(code)
}
