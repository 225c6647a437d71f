//! A PostgreSQL server that a test starts.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use crate::node::wait_for;

/// A server that runs as long as this lives.
pub(crate) struct Postgres {
    child: Child,
    folder: PathBuf,
    /// Where it listens on this machine's own address.
    pub(crate) port: u16,
}

/// A certificate, its key, and the authority that it comes from, all as PEM.
pub(crate) struct Certified {
    certificate: String,
    key: String,
    pub(crate) authority: String,
}

impl Certified {
    /// For a host of this name, from an authority of its own.
    pub(crate) fn new(host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        let parameters = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &authority, &authority_key).unwrap();
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: authority.pem(),
        }
    }
}

impl Postgres {
    /// Starts it in a folder; with a certificate it offers TLS.
    pub(crate) fn start(folder: &Path, certified: Option<&Certified>) -> Self {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let programs = programs();
        let data = folder.join("postgres");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        // The server refuses to be root.
        let user = id("-u");
        let nobody = (user == 0).then(|| (id_of("nobody", "-u"), id_of("nobody", "-g")));
        if let Some((user, group)) = nobody {
            chown(&data, Some(user), Some(group)).unwrap();
        }
        let run = |name: &str| {
            let mut command = Command::new(programs.join(name));
            if let Some((user, group)) = nobody {
                command.uid(user).gid(group);
            }
            command.current_dir(&data).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = run("initdb")
            .args(["--auth=trust", "--username=althing", "--no-sync", "-D"])
            .arg(data.join("data"))
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = run("postgres");
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(["-p", &port.to_string(), "-k"]).arg(&data);
        command.arg("-D").arg(data.join("data"));
        if let Some(Certified { certificate, key, .. }) = certified {
            for (name, text) in [("server.crt", certificate), ("server.key", key)] {
                // The server refuses a key that others may read.
                let path = data.join(name);
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
                if let Some((user, group)) = nobody {
                    chown(&path, Some(user), Some(group)).unwrap();
                }
            }
            let file =
                |setting: &str, name: &str| format!("{setting}={}", data.join(name).display());
            command.args(["-c", "ssl=on", "-c", &file("ssl_cert_file", "server.crt")]);
            command.args(["-c", &file("ssl_key_file", "server.key")]);
        }
        let child = command.spawn().unwrap();
        wait_for(|| {
            let mut asking = run("pg_isready");
            asking.args(["-p", &port.to_string(), "-h"]).arg(&data);
            let ready = asking.status().unwrap();
            ready.success().then_some(())
        });
        Self { child, folder: data, port }
    }

    /// Its address by the machine's own socket.
    pub(crate) fn url(&self) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://althing@{host}:{}/postgres", self.port)
    }

    /// Its address over TCP, by one of the machine's names.
    pub(crate) fn address(&self, host: &str) -> String {
        format!("postgres://althing@{host}:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("ALTHING_POSTGRES") {
        return folder.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .find(|bin| bin.join("initdb").is_file())
        .expect("PostgreSQL is not installed: run `cargo xtask peers`")
}

fn id(which: &str) -> u32 {
    let output = Command::new("id").arg(which).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn id_of(name: &str, which: &str) -> u32 {
    let output = Command::new("id").args([which, name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
