//! Secrets of applications, without their values.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// Whether a step of the application asks for it.
    pub asked: bool,
    /// Whether the application's home has a value.
    pub set: bool,
}
