//! The cluster's certificates: an authority, the API server's certificate, one for everybody who speaks to it, and the
//! kubeconfig files that hold them. Made with openssl(1), as the Kubernetes documentation does it ("PKI certificates and
//! requirements"), so that what verifies them here is not what made them.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::segment::{FIRST, Member};
use crate::namespace::feed;

/// Names and addresses that the API server is reached by: the Service `kubernetes`, and where it listens.
const SERVER_NAMES: &str = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
    DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:10.96.0.1,IP:fd96::1,IP:10.77.0.1,IP:fd77::1,\
    IP:127.0.0.1,IP:::1";

/// The folder of keys and certificates.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes the authority, the API server's certificate, and the key that service-account tokens are signed with.
    ///
    /// # Errors
    /// What openssl said.
    pub fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let new = Self { folder: folder.to_path_buf() };
        let authority = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=outrigger-lab \
            -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt";
        new.openssl(authority)?;
        let names = format!("subjectAltName={SERVER_NAMES}\nextendedKeyUsage=serverAuth\n");
        new.issue("apiserver", "/CN=kube-apiserver", &names)?;
        new.openssl(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out service-accounts.key",
        )?;
        new.openssl("pkey -in service-accounts.key -pubout -out service-accounts.pub")?;
        Ok(new)
    }

    /// Those that were made in this folder.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// The path of one of the files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A kubeconfig for a user of some group, with a certificate made for it. With no group, in none.
    ///
    /// # Errors
    /// What openssl said.
    pub fn kubeconfig(&self, file: &str, user: &str, group: &str) -> Result<PathBuf> {
        let group = if group.is_empty() { String::new() } else { format!("/O={group}") };
        self.issue(file, &format!("{group}/CN={user}"), "extendedKeyUsage=clientAuth\n")?;
        let [certificate, key] = ["crt", "key"].map(|kind| self.file(&format!("{file}.{kind}")));
        let (certificate, key) = (certificate.display(), key.display());
        self.write_kubeconfig(
            file,
            &format!("{{client-certificate: {certificate}, client-key: {key}}}"),
        )
    }

    /// A kubeconfig for nobody: who uses it brings a token.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn anonymous_kubeconfig(&self) -> Result<PathBuf> {
        self.write_kubeconfig("anonymous", "{}")
    }

    fn write_kubeconfig(&self, file: &str, user: &str) -> Result<PathBuf> {
        let (authority, path) = (self.file("ca.crt"), self.file(&format!("{file}.kubeconfig")));
        let (server, authority) = (Member::ControlPlane.addresses(FIRST).0, authority.display());
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
             contexts: [{{name: lab, context: {{cluster: lab, user: {file}}}}}]\n\
             clusters: [{{name: lab, cluster: {{server: \"https://{server}:6443\", certificate-authority: {authority}}}}}]\n\
             users: [{{name: {file}, user: {user}}}]\n"
        );
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn issue(&self, name: &str, subject: &str, extensions: &str) -> Result<()> {
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj {subject} -keyout {name}.key -out {name}.csr"
        ))?;
        let file = self.file(&format!("{name}.ext"));
        // RFC 5280, section 4.2.1.9: what is no authority says so.
        fs::write(&file, format!("basicConstraints=critical,CA:FALSE\n{extensions}"))?;
        // A serial number of its own at random (-CAcreateserial keeps a file): certificates are made side by side.
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -set_serial 0x{} -days 3650 -extfile {name}.ext -out {name}.crt",
            self.openssl("rand -hex 16")?.trim()
        ))
        .map(drop)
    }

    fn openssl(&self, line: &str) -> Result<String> {
        let mut command = Command::new("openssl");
        feed(command.current_dir(&self.folder).args(line.split_whitespace()), b"")
    }
}
