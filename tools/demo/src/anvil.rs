//! A real EVM chain on this machine: `anvil`, which `cargo xtask peers` installs.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// The secret key of the first account that the chain endows; everybody knows it.
pub const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// The address of [`KEY`].
pub const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// Another account that the chain endows.
pub const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// The least of an ERC-20 token: `balanceOf` and `transfer`, each balance in the slot of its address.
///
/// ```text
///   selector: CALLDATALOAD(0) >> 224; 70a08231 → balance, a9059cbb → transfer, else revert
///   balance:  return SLOAD(to)
///   transfer: revert if SLOAD(caller) < amount; SSTORE both; LOG3(Transfer, caller, to); return 1
/// ```
const TOKEN: &str = "0x60003560e01c806370a0823114601d5763a9059cbb146028575b5f5ffd\
    5b600435545f5260205ff3\
    5b6024353354818110601957819003335580600435540160043555\
    5f52600435337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef60205fa3\
    60015f5260205ff3";

/// A running chain with a block a second; it ends when it is dropped.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    /// Where it keeps its state while it is away.
    state: Option<PathBuf>,
    /// Where it answers JSON-RPC.
    pub url: String,
}

impl Anvil {
    /// Starts it on any free port.
    ///
    /// # Errors
    ///
    /// If it is not installed or does not come up.
    pub fn start() -> Result<Self> {
        Self::launch("0", None)
    }

    /// As [`start`](Self::start); it can leave and come back with the state that it had.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn with_state(file: &Path) -> Result<Self> {
        Self::launch("0", Some(file.to_owned()))
    }

    /// Ends it, with its state on the disk.
    ///
    /// # Errors
    ///
    /// If it was started without a place for its state, or does not end by itself.
    pub fn leave(&mut self) -> Result<()> {
        ensure!(self.state.is_some(), "the chain has no place for its state");
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-INT", &pid]).status().context("running kill")?;
        ensure!(told.success(), "anvil could not be told to end");
        self.child.wait().context("waiting for anvil's end")?;
        Ok(())
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn come_back(&mut self) -> Result<()> {
        let port = self.url.rsplit(':').next().unwrap_or_default().to_owned();
        *self = Self::launch(&port, self.state.take())?;
        Ok(())
    }

    fn launch(port: &str, state: Option<PathBuf>) -> Result<Self> {
        let mut command = Command::new(program()?);
        command.args(["--port", port, "--block-time", "1", "--mixed-mining"]);
        if let Some(file) = &state {
            command.arg("--state").arg(file);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting anvil")?;
        let output = child.stdout.take().context("anvil has an output")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned));
        // Whoever stops reading stops the chain.
        std::thread::spawn(move || lines.for_each(drop));
        let mut anvil = Self { child, state, url: String::new() };
        anvil.url = format!("http://{}", address.context("anvil did not say where it listens")?);
        Ok(anvil)
    }

    /// The result of one call.
    ///
    /// # Errors
    ///
    /// If the chain does not answer, or answers with an error.
    pub fn ask(&self, method: &str, parameters: &Value) -> Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let mut reply = ureq::post(&self.url).send_json(&body)?;
        let reply: Value = reply.body_mut().read_json()?;
        ensure!(reply.get("error").is_none(), "{method}: {reply}");
        Ok(reply["result"].clone())
    }

    /// What an address has, in wei.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn balance(&self, address: &str) -> Result<u128> {
        number(&self.ask("eth_getBalance", &json!([address, "latest"]))?)
    }

    /// Puts a token at `contract`, all of it on `owner`.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn issue(&self, contract: &str, owner: &str, amount: u128) -> Result<()> {
        self.ask("anvil_setCode", &json!([contract, TOKEN]))?;
        let (slot, value) = (word(owner), format!("0x{amount:064x}"));
        self.ask("anvil_setStorageAt", &json!([contract, format!("0x{slot}"), value]))?;
        Ok(())
    }

    /// What an address has of a token.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn tokens(&self, contract: &str, owner: &str) -> Result<u128> {
        let data = format!("0x70a08231{}", word(owner));
        number(&self.ask("eth_call", &json!([{ "to": contract, "data": data }, "latest"]))?)
    }
}

/// An address as 32 bytes.
fn word(address: &str) -> String {
    format!("{:0>64}", address.trim_start_matches("0x").to_lowercase())
}

fn number(value: &Value) -> Result<u128> {
    let text = value.as_str().context("the chain answers with a text")?;
    u128::from_str_radix(text.trim_start_matches("0x"), 16).context("the chain answers in hex")
}

fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ALTHING_ANVIL") {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let packages = PathBuf::from(home).join(".cache/althing/peers/node_modules/@foundry-rs");
    std::fs::read_dir(packages)
        .into_iter()
        .flatten()
        .flatten()
        .map(|package| package.path().join("bin/anvil"))
        .find(|path| path.is_file())
        .context("anvil is not installed: run `cargo xtask peers`")
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
