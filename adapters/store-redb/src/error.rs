//! From redb's failures to the port's.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use althing_replica::store::StoreError;

pub(crate) fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.into() }
}

pub(crate) fn failed(operation: &'static str, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::Busy,
        redb::Error::Corrupted(what) => corrupt(what),
        redb::Error::Io(error)
            if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            corrupt(format!("{operation}: {error}"))
        }
        error @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted) => corrupt(format!("{operation}: {error}")),
        error => StoreError::Io { operation, source: Box::new(error) },
    }
}

/// Turns a panic into [`StoreError::Corrupt`]: redb trusts the pages it reads, and on a broken one an
/// assertion or a bounds check may be what fails. The node stops on the error, so nothing that the
/// panic left half done is used again.
pub(crate) fn guarded<T>(
    operation: &'static str,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(corrupt(format!("{operation}: {}", message.unwrap_or("a broken page"))))
    })
}
