//! The programs of native services as the HTTP interface sees them.

use althing_api::{Answer, NodeError, Programs, ServiceKey, wire};
use althing_ledger::query;
use althing_runtime_http::ConnectionError;
use althing_types::Hash;

use crate::view::{NodeView, blocking, failed, missing};

fn refused(error: ConnectionError) -> NodeError {
    match error {
        ConnectionError::Url { .. } | ConnectionError::TooMany => {
            NodeError::NotConnected { code: error.code(), detail: error.to_string() }
        }
        error => {
            tracing::error!(code = error.code(), "programs cannot be connected");
            failed(error)
        }
    }
}

impl NodeView {
    /// The id of a service that has no component.
    fn native(&self, service: &ServiceKey) -> Result<Hash, NodeError> {
        let reader = self.reader();
        let id = Self::service_id(&reader, service)?;
        let record = query::service(&reader.view(), &id).map_err(failed)?;
        let terms = record.ok_or_else(|| missing(format!("service {service}")))?.terms;
        match terms.module {
            None => Ok(id),
            Some(_) => Err(missing(format!("native service {service}: it has a component"))),
        }
    }
}

impl Programs for NodeView {
    fn connect(&self, service: ServiceKey, url: String) -> Answer<'_, wire::Connection> {
        Box::pin(async move {
            let (id, connections) = (self.native(&service)?, self.emitting.connections.clone());
            let connected = blocking(move || connections.connect(id, &url).map_err(refused));
            let althing_runtime_http::Connection { url, secret, token } = connected.await?;
            Ok(wire::Connection { service: id.into(), url, secret, token })
        })
    }

    fn disconnect(&self, service: ServiceKey) -> Answer<'_, ()> {
        Box::pin(async move {
            let id = Self::service_id(&self.reader(), &service)?;
            let connections = self.emitting.connections.clone();
            let known = blocking(move || connections.disconnect(&id).map_err(refused)).await?;
            known.then_some(()).ok_or_else(|| missing(format!("connection of {service}")))
        })
    }

    fn connections(&self) -> Answer<'_, Vec<wire::Connected>> {
        Box::pin(async move {
            let all = self.emitting.connections.list().into_iter();
            let shown = all.map(|(service, connection)| wire::Connected {
                service: service.into(),
                url: connection.url,
            });
            Ok(shown.collect())
        })
    }

    fn observe(
        &self,
        service: ServiceKey,
        token: String,
        event: wire::CloudEvent,
    ) -> Answer<'_, wire::Observed> {
        Box::pin(async move {
            let id = Self::service_id(&self.reader(), &service)?;
            let (taken, via) = self.emitting.observe(id, &token, &event).await?;
            Ok(wire::Observed {
                event: taken.event.into(),
                duplicate: taken.duplicate,
                via: via.map(Into::into),
            })
        })
    }
}
