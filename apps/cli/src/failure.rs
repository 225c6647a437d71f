//! What a person sees when a command fails: a sentence, its causes, a code and a hint.

use std::{fmt, io};

use althing_application::Mistakes as AppMistakes;
use althing_manifest::{Kind, Mistake, Mistakes};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// An error with a documented code and advice.
#[derive(Debug)]
pub(crate) struct Failure {
    code: String,
    message: String,
    hint: String,
}

impl Failure {
    pub(crate) fn new(
        code: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { code: code.into(), message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Code and hint of an error, from whichever part of it has them.
fn code_and_hint(error: &anyhow::Error) -> (String, String) {
    // What was added as context is not itself in the chain of causes.
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return (failure.code.clone(), failure.hint.clone());
    }
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.code.clone(), failure.hint.clone());
        }
        if let Some(key) = cause.downcast_ref::<althing_keys::KeyError>() {
            return (key.code().to_owned(), key.hint().to_owned());
        }
        if let Some(client) = cause.downcast_ref::<althing_api::client::ClientError>() {
            return (client.code().to_owned(), client.hint().to_owned());
        }
        if let Some(mistakes) = cause.downcast_ref::<Mistakes>()
            && let Some(first) = mistakes.iter().next()
        {
            return (first.kind.code().to_owned(), first.hint.clone());
        }
        if let Some(mistakes) = cause.downcast_ref::<AppMistakes>()
            && let Some(first) = mistakes.iter().next()
        {
            return (first.kind.code().to_owned(), first.hint.clone());
        }
        if let Some(start) = cause.downcast_ref::<althing_node::StartError>() {
            return (start.code().to_owned(), start.hint().to_owned());
        }
        if let Some(hint) = cause.downcast_ref::<io::Error>().and_then(of_file) {
            return ("CLI-0049".to_owned(), hint.to_owned());
        }
    }
    let hint = "run `althing doctor`, or the command again with RUST_LOG=debug".to_owned();
    ("CLI-0001".to_owned(), hint)
}

/// What to do about a file or folder that cannot be used.
fn of_file(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder: look at how it is written",
        io::ErrorKind::PermissionDenied => "it belongs to somebody else: look at its permissions",
        io::ErrorKind::IsADirectory => "this is a folder: name a file in it",
        io::ErrorKind::NotADirectory => "a part of the path is a file: name a folder",
        io::ErrorKind::AlreadyExists => "it is there already: name another one",
        io::ErrorKind::InvalidData => "it is no text in UTF-8",
        io::ErrorKind::StorageFull => "the disk is full",
        io::ErrorKind::ReadOnlyFilesystem => "nothing can be written there: name another place",
        _ => return None,
    })
}

/// The text for standard error: what failed, why, the code, and what to do.
pub(crate) fn render(error: &anyhow::Error) -> String {
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        return render_mistakes(mistakes);
    }
    if let Some(mistakes) = error.downcast_ref::<AppMistakes>() {
        return render_mistakes(mistakes);
    }
    let (code, hint) = code_and_hint(error);
    let mut text = format!("error[{code}]: {error}\n");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            text.push_str(&format!("  because: {cause}\n"));
        }
        said = cause;
    }
    text.push_str(&format!("  hint: {hint}\n"));
    text
}

/// Every mistake with the lines of the file that it is in. Readable without colour, as all else here.
pub(crate) fn render_mistakes<K: Kind>(mistakes: &Mistakes<K>) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    let mut text = String::new();
    match handler.render_report(&mut text, mistakes) {
        Ok(()) => text,
        Err(fmt::Error) => mistakes.to_string(),
    }
}

/// The command line was not understood: one line of what, then the code and what to do.
pub(crate) fn render_usage(error: &clap::Error, json: bool) -> String {
    let text = error.to_string();
    let (message, usage) = text.split_once("\n\n").unwrap_or((&text, ""));
    let message = message.trim_start_matches("error: ").trim();
    let hint = "the command with --help tells what it takes";
    if json {
        return serde_json::json!({ "error": { "code": "CLI-0013", "message": message, "causes": [], "hint": hint } }).to_string();
    }
    let usage = usage
        .lines()
        .filter(|line| !line.starts_with("For more information"))
        .collect::<Vec<_>>()
        .join("\n");
    format!(
        "error[CLI-0013]: {message}\n{}  hint: {hint}\n",
        if usage.trim().is_empty() { String::new() } else { format!("{}\n", usage.trim()) }
    )
}

/// The same as one JSON object, for `--json`.
pub(crate) fn render_json(error: &anyhow::Error) -> String {
    let (code, hint) = code_and_hint(error);
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    let mut told = serde_json::json!({ "code": code, "message": error.to_string(), "causes": causes, "hint": hint });
    let found = match error.downcast_ref::<Mistakes>() {
        Some(found) => Some(mistakes(found)),
        None => error.downcast_ref::<AppMistakes>().map(mistakes),
    };
    if let Some(found) = found {
        told["mistakes"] = found.into();
    }
    serde_json::json!({ "error": told }).to_string()
}

/// Every mistake in a file, for programs: `at` is in bytes of it.
pub(crate) fn mistakes<K: Kind>(mistakes: &Mistakes<K>) -> Vec<serde_json::Value> {
    let each = |mistake: &Mistake<K>| {
        let (line, column) = mistakes.place(mistake);
        serde_json::json!({
            "code": mistake.kind.code(),
            "message": mistake.message,
            "hint": mistake.hint,
            "file": mistakes.file(),
            "line": line,
            "column": column,
            "at": { "from": mistake.at.start, "to": mistake.at.end },
        })
    };
    mistakes.iter().map(each).collect()
}
