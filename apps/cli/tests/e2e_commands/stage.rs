//! A network of one node, and the commands of the person who plays with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use althing_demo::cli::Cli;
use althing_demo::network::{Network, Node};
use serde_json::Value;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_althing"))
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The network, in a folder that goes with it.
pub(crate) struct Stage {
    network: Network,
    cli: Cli,
    folder: tempfile::TempDir,
}

impl Stage {
    /// One node, started.
    pub(crate) fn new() -> Self {
        Self::of(1)
    }

    /// So many nodes, started.
    pub(crate) fn of(nodes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("network");
        let cli = Cli::new(&binary(), &home);
        let network = Network::start(&cli, &home, &["--nodes", &nodes.to_string()]).unwrap();
        Self { network, cli, folder }
    }

    /// The nodes, in order.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.network.announcement.nodes
    }

    /// A place for files of a test.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data that a command prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        self.cli.run(arguments).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// What a command says to people: data, then talk.
    pub(crate) fn told(&self, arguments: &[&str]) -> (String, String) {
        let mut command = Command::new(binary());
        command.arg("--home").arg(self.place("network")).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        (String::from_utf8(output.stdout).unwrap(), said)
    }

    /// The error of a command that has to fail.
    pub(crate) fn error(&self, arguments: &[&str]) -> Value {
        let output = self.cli.try_run(arguments).unwrap();
        assert!(!output.status.success(), "{arguments:?} succeeded");
        assert!(output.stdout.is_empty(), "{arguments:?} printed data");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| {
            panic!("{arguments:?} said {:?}", String::from_utf8_lossy(&output.stderr))
        });
        error["error"].clone()
    }

    /// Asserts that a command fails with this code, and with advice.
    pub(crate) fn fails(&self, arguments: &[&str], code: &str) {
        let error = self.error(arguments);
        assert_eq!(error["code"], code, "{arguments:?}: {error}");
        let hint = error["hint"].as_str().unwrap_or_default();
        assert!(!hint.is_empty(), "{arguments:?} has no hint");
    }

    /// Starts a command that goes on by itself.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let mut command = self.cli.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(command.spawn().unwrap()))
    }

    /// What a command prints, if it succeeds.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Option<Value> {
        self.cli.run(arguments).ok()
    }

    /// Kills a node, counted from zero, and starts it again.
    pub(crate) fn crash(&mut self, index: usize) {
        self.network.kill(index + 1).unwrap();
        self.network.restart(&self.cli, index + 1).unwrap();
    }

    /// Ends all nodes; what they have written stays.
    pub(crate) fn stop_nodes(&mut self) {
        self.network.stop().unwrap();
    }

    pub(crate) fn stop(mut self) {
        self.stop_nodes();
    }
}

/// A command that goes on by itself; ended with the test.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Waits for its end; gives what it printed.
    pub(crate) fn finish(mut self) -> Value {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().ok(); // it may have ended by itself
            child.wait().ok();
        }
    }
}

/// Waits until `look` finds something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
