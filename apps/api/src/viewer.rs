//! Who asks: a header that an account has signed.
//!
//! ```text
//!   althing-viewer: 0x<account> <until, milliseconds since 1970> 0x<signature>
//! ```
//!
//! - Invariant: a request without the header is anybody's; one with a header that is not good is
//!   refused, not taken for anybody's.

use std::sync::Arc;

use althing_types::{Address, RecoverableSignature, TimeMs};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use utoipa::IntoParams;

use crate::port::Viewing;
use crate::problem::{Kind, Refusal};
use crate::server::Shared;

/// The header's name.
pub(crate) const HEADER: &str = "althing-viewer";

fn viewing(text: &str) -> Option<Viewing> {
    let mut parts = text.split_ascii_whitespace();
    let account: Address = parts.next()?.parse().ok()?;
    let until = TimeMs(parts.next()?.parse().ok()?);
    let signature: RecoverableSignature = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(Viewing { account, until, signature })
}

/// Whose request this is; `None` for anybody's.
pub(crate) async fn viewer(
    shared: &Shared,
    headers: &HeaderMap,
) -> Result<Option<Address>, Refusal> {
    let Some(header) = headers.get(HEADER) else { return Ok(None) };
    let signed = header.to_str().ok().and_then(viewing).ok_or_else(|| {
        Kind::NotAllowed.because(format!("`{HEADER}`: account, time and signature are expected"))
    })?;
    Ok(Some(shared.node.viewer(signed).await?))
}

/// Who asks, where anybody may: the account that has signed the request, if one has.
#[derive(Debug)]
pub(crate) struct Viewer(pub(crate) Option<Address>);

impl FromRequestParts<Arc<Shared>> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        viewer(shared, &parts.headers).await.map(Self)
    }
}

/// What the description says of [`Viewer`].
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is described, and read by `Viewer`")]
pub(crate) struct ViewerHeader {
    /// Account, time and signature of who wants to see what is private.
    #[param(rename = "althing-viewer")]
    viewer: Option<String>,
}

/// Refuses everybody but the node's own account.
pub(crate) async fn operator(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let viewer = viewer(shared, headers).await?;
    if viewer == Some(shared.node.status().await?.address.0) {
        return Ok(());
    }
    Err(Kind::NotAllowed.because("only the node's own account may do that"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_three_parts_and_no_more() {
        let good = format!("0x{} 17 0x{}1b", "07".repeat(20), "01".repeat(64));
        assert_eq!(viewing(&good).map(|signed| signed.until), Some(TimeMs(17)));
        for bad in [
            String::new(),
            good.replace(" 17", ""),
            format!("{good} 1"),
            good.replace("17", "x"),
            good.replace("1b", ""),
        ] {
            assert!(viewing(&bad).is_none(), "{bad}");
        }
    }
}
