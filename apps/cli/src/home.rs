//! The folder of the person at the keyboard: accounts, and which node to talk to.
//!
//! `--home`, else `ALTHING_HOME`, else `./.althing` if it is there (that is where `althing dev` puts
//! a network), else `~/.althing`.

use std::path::{Path, PathBuf};

use althing_api::client::Client;
use althing_api::{VIEWING_MAX, Viewing};
use althing_keys::{AccountKey, Keystore};
use althing_types::{ChainId, Eip712, TimeMs};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::Global;
use crate::failure::Failure;
use crate::patience::Patience;

/// What is remembered between commands.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Preferences {
    /// The node to talk to, as a URL.
    pub(crate) node: Option<String>,
    /// The account that signs when none is named.
    pub(crate) account: Option<String>,
    /// The password of a development network's accounts, whose tokens are worth nothing.
    pub(crate) dev_password: Option<String>,
    /// The development network's node folders, in order.
    pub(crate) dev_nodes: Vec<PathBuf>,
}

/// Where `althing dev` puts its network.
pub(crate) const LOCAL: &str = ".althing";

/// The person's folder.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    node: Option<String>,
    account: Option<String>,
    password_file: Option<PathBuf>,
}

impl Home {
    pub(crate) fn of(global: &Global) -> Result<Self> {
        let folder = match &global.home {
            Some(folder) => folder.clone(),
            None if Path::new(LOCAL).join("home.json").exists() => PathBuf::from(LOCAL),
            None => std::env::home_dir()
                .ok_or_else(|| {
                    Failure::new("CLI-0002", "there is no home folder", "name one with --home")
                })?
                .join(".althing"),
        };
        Ok(Self {
            folder,
            node: global.node.clone(),
            account: global.account.clone(),
            password_file: global.password_file.clone(),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn keystore(&self) -> Result<Keystore> {
        Ok(Keystore::open(self.folder.join("accounts"))?)
    }

    pub(crate) fn preferences(&self) -> Result<Preferences> {
        let path = self.folder.join("home.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("understanding {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Preferences::default())
            }
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    pub(crate) fn save_preferences(&self, preferences: &Preferences) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("creating {}", self.folder.display()))?;
        let path = self.folder.join("home.json");
        let text = serde_json::to_string_pretty(preferences)?;
        std::fs::write(&path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }

    /// The URL of the node to talk to.
    pub(crate) fn node(&self) -> Result<String> {
        let remembered = self.preferences()?.node;
        Ok(self.node.clone().or(remembered).unwrap_or_else(|| "http://127.0.0.1:4901".to_owned()))
    }

    /// The way to the node.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.node()?))
    }

    /// The way to the node, asking as the account that signs: private applications are shown to
    /// their owner. Nobody is asked for a password for that: without one, what is public is shown.
    pub(crate) fn viewer(&self) -> Result<Client> {
        let unattended = self.password_file.is_some()
            || std::env::var_os("ALTHING_PASSWORD").is_some()
            || self.preferences()?.dev_password.is_some();
        // An account that cannot be opened is told by the commands that need it.
        match unattended.then(|| self.signer()) {
            Some(Ok(key)) => self.viewed_by(&key),
            Some(Err(_)) | None => self.client(),
        }
    }

    /// The way to the node, asking as the holder of `key`.
    pub(crate) fn viewed_by(&self, key: &AccountKey) -> Result<Client> {
        as_viewer(&self.client()?, key)
    }

    /// The key of the account that signs.
    pub(crate) fn signer(&self) -> Result<AccountKey> {
        let preferences = self.preferences()?;
        let keystore = self.keystore()?;
        let named = self.account.clone().or_else(|| preferences.account.clone());
        let name = match named {
            Some(name) => name,
            None => match keystore.list()?.as_slice() {
                [] => {
                    let hint = "make one with `althing account new`";
                    return Err(
                        Failure::new("CLI-0003", "there is no account to sign with", hint).into()
                    );
                }
                [(name, _)] => name.to_string(),
                _ => {
                    let hint = "choose one with --account; `althing account list` shows them";
                    return Err(Failure::new("CLI-0004", "there are several accounts", hint).into());
                }
            },
        };
        let password = self.password(&format!("password of account {name}: "), &preferences)?;
        Ok(keystore.unlock(&name, &password)?)
    }

    /// A password: from the file named, the environment, the development network, or the terminal.
    pub(crate) fn password(&self, prompt: &str, preferences: &Preferences) -> Result<String> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading the password from {}", path.display()))?;
            return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
        }
        if let Ok(password) = std::env::var("ALTHING_PASSWORD") {
            return Ok(password);
        }
        if let Some(password) = &preferences.dev_password {
            return Ok(password.clone());
        }
        rpassword::prompt_password(prompt).map_err(|_| {
            let hint = "give it with --password-file or in ALTHING_PASSWORD";
            Failure::new(
                "CLI-0005",
                "a password is needed and there is no terminal to ask at",
                hint,
            )
            .into()
        })
    }
}

/// Signs that the holder of `key` may be shown what is private, for as long as a command runs.
pub(crate) fn as_viewer(client: &Client, key: &AccountKey) -> Result<Client> {
    let genesis = Patience::short().ask(|| client.genesis())?;
    let lasting = u64::try_from(VIEWING_MAX.as_millis())?;
    // Clocks differ: what lasts until the very limit would be refused by a node that is behind.
    let until = TimeMs(althing_node::now().0.saturating_add(lasting - lasting / 4));
    let digest = Eip712::new(ChainId(genesis.chain)).view(key.address(), until);
    let signature = key.sign_recoverable(&digest);
    Ok(client.viewing(&Viewing { account: key.address(), until, signature }))
}
