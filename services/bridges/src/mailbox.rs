//! A mail server that keeps what it gets and delivers nothing: the twin of a real one.
//!
//! It speaks as much SMTP (RFC 5321) as a client needs to hand over a mail; each mail is a file
//! `mail-N.eml`, whole or not at all. Two mails with one Message-ID are one.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// Longest line and largest mail, in bytes.
const LINE_BYTES_MAX: u64 = 4096;
const MAIL_BYTES_MAX: usize = 4 << 20;
/// A client that says nothing for so long is hung up on.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A folder of mails.
#[derive(Debug)]
pub(crate) struct Mailbox {
    folder: PathBuf,
    kept: Mutex<Kept>,
}

/// What must be known when a mail comes: read once, when the folder is opened.
#[derive(Debug)]
struct Kept {
    /// How many mails there are, which is the next one's number.
    count: usize,
    /// Their Message-IDs.
    ids: HashSet<String>,
}

impl Mailbox {
    /// Opens the folder, and takes mails at the address that is returned.
    pub(crate) async fn start(folder: &Path) -> Result<(Arc<Self>, SocketAddr)> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        let files = mails_in(folder);
        let read = |path: &PathBuf| header(&std::fs::read_to_string(path).ok()?, "Message-ID");
        let ids = files.iter().filter_map(read).collect();
        let kept = Mutex::new(Kept { count: files.len(), ids });
        let mailbox = Arc::new(Self { folder: folder.to_owned(), kept });
        let listener = TcpListener::bind("127.0.0.1:0").await.context("opening the mailbox")?;
        let address = listener.local_addr()?;
        let taking = Arc::clone(&mailbox);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mailbox = Arc::clone(&taking);
                tokio::spawn(async move {
                    if let Err(error) = mailbox.converse(stream).await {
                        tracing::debug!(%error, "a mail client left");
                    }
                });
            }
        });
        Ok((mailbox, address))
    }

    /// All mails: to whom, about what, and the text.
    pub(crate) fn mails(&self) -> Vec<Value> {
        mails_in(&self.folder)
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .map(|mail| {
                let (head, text) = mail.split_once("\r\n\r\n").unwrap_or((&mail, ""));
                json!({
                    "id": header(head, "Message-ID"), "to": header(head, "To"),
                    "subject": header(head, "Subject"), "text": text.trim_end(),
                })
            })
            .collect()
    }

    async fn converse(&self, stream: TcpStream) -> Result<()> {
        let (reading, mut writing) = stream.into_split();
        let mut reading = BufReader::new(reading);
        writing.write_all(b"220 mailbox\r\n").await?;
        loop {
            let line = line(&mut reading).await?;
            let command: String = line.chars().take(4).collect::<String>().to_ascii_uppercase();
            let reply: &[u8] = match command.as_str() {
                "EHLO" => b"250-mailbox\r\n250 8BITMIME\r\n",
                "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => b"250 ok\r\n",
                "DATA" => {
                    writing.write_all(b"354 go on, end with a dot\r\n").await?;
                    match self.take(&mut reading).await? {
                        true => b"250 kept\r\n",
                        false => b"552 too large\r\n",
                    }
                }
                "QUIT" => {
                    writing.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => b"502 not known\r\n",
            };
            writing.write_all(reply).await?;
        }
    }

    async fn take(&self, reading: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Result<bool> {
        let mut mail = String::new();
        loop {
            let line = line(reading).await?;
            if line == "." {
                break;
            }
            // A line that begins with a dot was given another one on its way (RFC 5321, 4.5.2).
            if mail.len() <= MAIL_BYTES_MAX {
                mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                mail.push_str("\r\n");
            }
        }
        if mail.len() > MAIL_BYTES_MAX {
            return Ok(false);
        }
        let mut kept = self.kept.lock().await;
        let id = header(mail.split("\r\n\r\n").next().unwrap_or_default(), "Message-ID");
        if id.as_ref().is_some_and(|id| kept.ids.contains(id)) {
            return Ok(true);
        }
        let file = self.folder.join(format!("mail-{:06}.eml", kept.count));
        let part = file.with_extension("part");
        std::fs::write(&part, mail)?;
        std::fs::rename(&part, &file)?;
        kept.count += 1;
        kept.ids.extend(id);
        Ok(true)
    }
}

/// The mails of a folder, in the order in which they came.
fn mails_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "eml"))
        .collect();
    files.sort();
    files
}

/// A line without its end.
async fn line(reading: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Result<String> {
    let mut bytes = Vec::new();
    let mut limited = reading.take(LINE_BYTES_MAX);
    let read = tokio::time::timeout(SILENCE_MAX, limited.read_until(b'\n', &mut bytes)).await??;
    anyhow::ensure!(read > 0 && bytes.ends_with(b"\n"), "the client left or wrote no line");
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
