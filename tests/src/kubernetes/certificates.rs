//! The cluster's certificates: an authority, the API server's certificate, one for every client, and the kubeconfig files that
//! hold them. Made with openssl(1), as in the Kubernetes documentation ("PKI certificates and requirements"), so that they are
//! verified by other software than created them.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::segment::{FIRST, Member};
use crate::namespace::feed;

/// Names and addresses of the API server: the Service `kubernetes`, and where it listens.
const SERVER_NAMES: &str = "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
    DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:10.96.0.1,IP:fd96::1,IP:10.77.0.1,IP:fd77::1,\
    IP:127.0.0.1,IP:::1";

/// Folder of keys and certificates.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Creates the authority, the API server's certificate, and the key that signs service-account tokens.
    ///
    /// # Errors
    /// Returns the error of openssl.
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

    /// Returns the existing certificates of this folder.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Returns the path of one of the files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Creates a kubeconfig for a user in a group, with a new certificate. An empty group means none.
    ///
    /// # Errors
    /// Returns the error of openssl.
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

    /// Creates a kubeconfig without a user: its client supplies a token.
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
        // RFC 5280, section 4.2.1.9: a certificate that is no authority states it.
        fs::write(&file, format!("basicConstraints=critical,CA:FALSE\n{extensions}"))?;
        // A random serial number (-CAcreateserial keeps a file): certificates are created in parallel.
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
