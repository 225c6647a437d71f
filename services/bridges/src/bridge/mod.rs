//! One file a technology.

mod approval;
mod email;
mod ethereum;
mod files;
mod http;
mod notify;
mod scripted;
mod sql;
mod timer;

use std::sync::Arc;

use anyhow::{Result, bail};

use crate::{Bridge, Memory, Setup};

/// The names under which bridges are started.
pub const NAMES: [&str; 9] =
    ["approval", "email", "ethereum", "files", "http", "notify", "scripted", "sql", "timer"];

/// Makes a bridge ready to serve.
///
/// # Errors
///
/// If there is none of this name, or its settings are not usable.
pub async fn open(name: &str, setup: &Setup, memory: &Memory) -> Result<Arc<dyn Bridge>> {
    Ok(match name {
        "approval" => Arc::new(approval::Approval::open(setup, memory)),
        "email" => Arc::new(email::Email::open(setup).await?),
        "ethereum" => ethereum::open(setup, memory)?,
        "files" => Arc::new(files::Files::open(setup)?),
        "http" => Arc::new(http::Http::open(setup)?),
        "notify" => Arc::new(notify::Notify::open(setup)?),
        "scripted" => Arc::new(scripted::Scripted::open(setup)?),
        "sql" => sql::open(setup).await?,
        "timer" => Arc::new(timer::Timer::open(setup, memory)?),
        other => bail!("there is no bridge '{other}'; there are {}", NAMES.join(", ")),
    })
}
