//! Between the core's types, which know no JSON, and their forms on the wire.

use althing_types::{BasisPoints, ChainId, Height, Nonce, Round, TimeMs};

use super::text::Text;

/// The wire form of a core type.
pub(crate) trait Mirror<Core> {
    /// From the core.
    fn of(core: Core) -> Self;
    /// Back to the core.
    fn back(self) -> Core;
}

impl<T> Mirror<T> for Text<T> {
    fn of(core: T) -> Self {
        Self(core)
    }
    fn back(self) -> T {
        self.0
    }
}

macro_rules! mirrors_itself {
    ($($type:ty),*) => {$(
        impl Mirror<$type> for $type {
            fn of(core: $type) -> Self { core }
            fn back(self) -> $type { self }
        }
    )*};
}

mirrors_itself!(bool, u8, u16, u32, u64, i64);

macro_rules! mirrors_number {
    ($($core:ident: $type:ty),*) => {$(
        impl Mirror<$core> for $type {
            fn of(core: $core) -> Self { core.0 }
            fn back(self) -> $core { $core(self) }
        }
    )*};
}

mirrors_number!(ChainId: u64, Height: u64, Nonce: u64, TimeMs: u64, Round: u32, BasisPoints: u32);

impl<C, W: Mirror<C>> Mirror<Vec<C>> for Vec<W> {
    fn of(core: Vec<C>) -> Self {
        core.into_iter().map(W::of).collect()
    }
    fn back(self) -> Vec<C> {
        self.into_iter().map(W::back).collect()
    }
}

impl<C, W: Mirror<C>> Mirror<Option<C>> for Option<W> {
    fn of(core: Option<C>) -> Self {
        core.map(W::of)
    }
    fn back(self) -> Option<C> {
        self.map(W::back)
    }
}

impl<C, W: Mirror<C>> Mirror<Box<C>> for Box<W> {
    fn of(core: Box<C>) -> Self {
        Self::new(W::of(*core))
    }
    fn back(self) -> Box<C> {
        Box::new((*self).back())
    }
}

/// Declares the wire form of a core struct, field by field, with conversions both ways.
///
/// A field that the core gains or loses stops the build here. Unknown fields in JSON are refused:
/// a misspelt one would otherwise be signed without its meaning.
macro_rules! mirror {
    ($(
        $(#[$meta:meta])*
        $name:ident = $core:path { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl From<$core> for $name {
            fn from(core: $core) -> Self {
                let $core { $($field,)* } = core;
                Self { $($field: $crate::wire::mirror::Mirror::of($field),)* }
            }
        }

        impl From<$name> for $core {
            fn from(wire: $name) -> Self {
                let $name { $($field,)* } = wire;
                Self { $($field: $crate::wire::mirror::Mirror::back($field),)* }
            }
        }

        $crate::wire::mirror::mirror_by_from!($name = $core);
    )*};
}

/// Declares the wire form of a core enum without data.
macro_rules! mirror_names {
    ($(
        $(#[$meta:meta])*
        $name:ident = $core:path { $($(#[$variant_meta:meta])* $variant:ident,)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl From<$core> for $name {
            fn from(core: $core) -> Self {
                use $core as Core;
                match core { $(Core::$variant => Self::$variant,)* }
            }
        }

        impl From<$name> for $core {
            fn from(wire: $name) -> Self {
                use $core as Core;
                match wire { $($name::$variant => Core::$variant,)* }
            }
        }

        $crate::wire::mirror::mirror_by_from!($name = $core);
    )*};
}

macro_rules! mirror_by_from {
    ($name:ident = $core:path) => {
        impl $crate::wire::mirror::Mirror<$core> for $name {
            fn of(core: $core) -> Self {
                core.into()
            }
            fn back(self) -> $core {
                self.into()
            }
        }
    };
}

pub(crate) use mirror;
pub(crate) use mirror_by_from;
pub(crate) use mirror_names;
