use std::fs;
use std::process::Command;

use super::images::Image;
use super::process::{Identity, Process};
use super::segment::{FIRST, Member, Network, SECOND};
use super::{Lab, folder_of};
use crate::product;

/// Folder that is removed with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = product::target().unwrap().join("kubernetes-tests").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_image_of_the_same_files_is_the_same_file() {
    let folder = Folder::new("image");
    let program = folder.0.join("program");
    fs::write(&program, "#!").unwrap();
    let image = Image {
        name: "docker.io/local/web:1".to_owned(),
        entrypoint: vec!["/web".to_owned()],
        files: vec![(program, "/web".to_owned())],
    };
    let [first, second] = ["first", "second"].map(|name| folder.0.join(name));
    image.write(&first).unwrap();
    image.write(&second).unwrap();
    assert_eq!(fs::read(&first).unwrap(), fs::read(second).unwrap());
    let list = Command::new("tar").arg("--list").arg("--file").arg(first).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.ends_with("/layer.tar\nmanifest.json\n"), "{list}");
}

#[test]
fn a_process_is_found_again_by_its_files_and_no_other_is_taken_for_it() {
    let folder = Folder::new("process");
    let process = Process::at(&folder.0, "sleeper");
    process.start(Command::new("sleep").arg("60")).unwrap();
    let again = Process::at(&folder.0, "sleeper");
    assert_eq!(again.pid().unwrap(), process.pid().unwrap());
    assert!(again.start(Command::new("sleep").arg("60")).is_err(), "it was started twice");
    again.kill().unwrap();
    assert!(process.pid().is_err());

    // The same process id with another start time.
    let own = Identity::of(std::process::id()).unwrap();
    assert!(own.is_alive());
    let other = Identity::read(&own.line().replace(' ', " 1")).unwrap();
    assert!(!other.is_alive());
}

#[test]
fn members_have_names_addresses_and_namespaces_of_their_laboratory() {
    let network = Network::new("outrigger-x", 2);
    let names: Vec<_> =
        network.members().map(|member| network.of(member).name().to_owned()).collect();
    assert_eq!(names, ["outrigger-x-cp", "outrigger-x-client", "outrigger-x-n1", "outrigger-x-n2"]);
    for member in network.members() {
        assert_eq!(Member::named(&member.name()).unwrap(), member);
    }
    assert!(Member::named("lan").is_err());
    assert_eq!(Member::Node(1).addresses(FIRST), ("10.77.0.11".to_owned(), "fd77::11".to_owned()));
    assert_eq!(Member::Client.addresses(SECOND).0, "10.88.0.100");
}

#[test]
fn a_name_that_could_reach_beyond_its_laboratory_is_refused() {
    for name in ["", "a-b", "A", "../x", "a b", "abcdefghijklmnopqrstu"] {
        assert!(folder_of(name).is_err(), "{name:?} is taken");
    }
    let error = Lab::find("nosuchlab").unwrap_err();
    assert!(error.to_string().contains("cargo xtask lab --name nosuchlab up"), "{error}");
}
