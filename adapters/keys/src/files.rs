//! Files that hold a secret: private, bounded, never overwritten, whole or absent.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::KeyError;

/// Largest key file in bytes; real ones have about 500.
pub(crate) const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

pub(crate) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::Io { operation, path: path.to_owned(), source }
}

/// Creates the folder, private, unless it is there.
pub(crate) fn create_folder(folder: &Path) -> Result<(), KeyError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| io_error("creating", folder, source))
}

/// Writes a new private file; `None` if there already is one of this name.
///
/// The file appears complete and durable, or not at all.
pub(crate) fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> Result<Option<()>, KeyError> {
    let path = folder.join(name);
    let failed = |source| io_error("writing", &path, source);
    // Temporary files are created with mode 600.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(&path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(failed(error.error)),
    }
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(Some(()))
}

/// Reads a file that only its owner may read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |source| io_error("reading", path, source);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Permissions { path: path.to_owned(), mode });
        }
    }
    if !metadata.is_file() {
        return Err(KeyError::Corrupt { path: path.to_owned(), what: "it is not a file" });
    }
    // Room for all of it at once: a vector that grows leaves unwiped copies behind.
    let capacity = usize::try_from(metadata.len().min(KEY_FILE_BYTES_MAX)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity.saturating_add(1)));
    file.take(KEY_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > KEY_FILE_BYTES_MAX) {
        return Err(KeyError::Corrupt { path: path.to_owned(), what: "it is too long" });
    }
    Ok(bytes)
}

/// Fresh random bytes.
pub(crate) fn entropy<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|source| KeyError::Entropy { source: io::Error::other(source.to_string()) })?;
    Ok(bytes)
}
