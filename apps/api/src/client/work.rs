//! The client's part for applications, runs, events and programs.

use std::time::Duration;

use althing_types::{Address, Hash, Height, Name};

use super::{Client, Events, Result, add, escaped, list, to_json, understood};
use crate::port::{ApplicationKey, Cut, EventFilter, RunFilter, ServiceKey};
use crate::wire;

impl Client {
    /// Applications by ascending id; of this owner only, if one is named.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn applications(
        &self,
        owner: Option<Address>,
        cut: Cut,
    ) -> Result<wire::Page<wire::Application>> {
        let owner = owner.map_or_else(String::new, |owner| format!("&owner={owner}"));
        self.get(&format!("/v1/applications?{}{owner}", list(cut)))
    }

    /// An application.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn application(&self, key: &ApplicationKey) -> Result<wire::Application> {
        self.get(&format!("/v1/applications/{}", escaped(&key.to_string())))
    }

    /// The names of an application's secrets: those that it asks for and those that are set.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn secrets(&self, key: &ApplicationKey) -> Result<Vec<wire::SecretName>> {
        self.get(&format!("/v1/applications/{}/secrets", escaped(&key.to_string())))
    }

    /// Keeps a secret of an application with the node, its home.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn set_secret(&self, key: &ApplicationKey, name: &Name, value: &str) -> Result<()> {
        let url = self.url_of_secret(key, name);
        let request = self.signed(self.agent.put(&url));
        let request = request.header("content-type", "application/octet-stream");
        self.sent(&url, request.send(value.as_bytes())).map(drop)
    }

    /// Forgets a secret of an application.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn forget_secret(&self, key: &ApplicationKey, name: &Name) -> Result<()> {
        let url = self.url_of_secret(key, name);
        self.sent(&url, self.signed(self.agent.delete(&url)).call()).map(drop)
    }

    fn url_of_secret(&self, key: &ApplicationKey, name: &Name) -> String {
        self.url_of(&format!("/v1/applications/{}/secrets/{name}", escaped(&key.to_string())))
    }

    /// Runs, open and ended lately.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn runs(&self, filter: RunFilter, cut: Cut) -> Result<wire::Page<wire::Run>> {
        let mut path = format!("/v1/runs?{}", list(cut));
        let parts = [
            ("application", filter.application.map(|id| id.to_string())),
            ("status", filter.status.map(|status| status.to_string())),
        ];
        add(&mut path, parts);
        self.get(&path)
    }

    /// A run; waits up to `wait` for it to be over.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn run(&self, id: &Hash, wait: Duration) -> Result<wire::Run> {
        self.get(&format!("/v1/runs/{id}?wait_ms={}", wait.as_millis()))
    }

    /// What happened to a run.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn run_history(&self, id: &Hash) -> Result<wire::RunHistory> {
        self.get(&format!("/v1/runs/{id}/history"))
    }

    /// A run as it was after a block.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn run_at(&self, id: &Hash, height: Height) -> Result<wire::Run> {
        self.get(&format!("/v1/runs/{id}/history/{height}"))
    }

    /// Events, open and settled lately.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn occurrences(
        &self,
        filter: &EventFilter,
        cut: Cut,
    ) -> Result<wire::Page<wire::Occurrence>> {
        let mut path = format!("/v1/occurrences?{}", list(cut));
        let parts = [
            ("service", filter.service.map(|id| id.to_string())),
            ("event", filter.event.as_ref().map(ToString::to_string)),
            ("state", filter.state.map(|state| state.to_string())),
        ];
        add(&mut path, parts);
        self.get(&path)
    }

    /// An event; waits up to `wait` for it to be decided.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn occurrence(&self, key: &Hash, wait: Duration) -> Result<wire::Occurrence> {
        self.get(&format!("/v1/occurrences/{key}?wait_ms={}", wait.as_millis()))
    }

    /// Connects the program of a native service to the node.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn connect(&self, service: &ServiceKey, program: &str) -> Result<wire::Connection> {
        let url = self.url_of(&format!("/v1/services/{}/program", escaped(&service.to_string())));
        let body = to_json(&wire::Connect { url: program.to_owned() });
        let request = self.signed(self.agent.put(&url)).header("content-type", "application/json");
        let response = self.sent(&url, request.send(body))?;
        understood(&url, response)
    }

    /// Forgets the program of a native service.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn disconnect(&self, service: &ServiceKey) -> Result<()> {
        let url = self.url_of(&format!("/v1/services/{}/program", escaped(&service.to_string())));
        self.sent(&url, self.signed(self.agent.delete(&url)).call()).map(drop)
    }

    /// The programs that are connected to the node.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn connections(&self) -> Result<Vec<wire::Connected>> {
        self.get("/v1/programs")
    }

    /// Posts an event as a service's program does.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn observe(
        &self,
        service: &ServiceKey,
        token: &str,
        event: &wire::CloudEvent,
    ) -> Result<wire::Observed> {
        let url = self.url_of(&format!("/v1/services/{}/events", escaped(&service.to_string())));
        let request = self
            .agent
            .post(&url)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/cloudevents+json");
        let response = self.sent(&url, request.send(to_json(event)))?;
        understood(&url, response)
    }

    /// Changes of one run from now on, as [`events`](Self::events).
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn run_events(&self, run: &Hash) -> Result<Events> {
        self.stream(&format!("/v1/events?run={run}"))
    }
}
