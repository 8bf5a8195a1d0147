//! Id-mapped mounts: `idmap` and `ridmap`.
use super::bind;
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};

/// A directory of root's on this machine, as a container with these options and mappings sees its owner.
fn owner_seen(option: &str, mappings: Option<Value>, container: Container) -> plimsoll_integration_tests::Output {
    let shared = container.make_dir("shared");
    std::os::unix::fs::chown(&shared, Some(5), Some(6)).expect("we are root");
    let mut mount = bind(&shared, "/mnt", &["rbind", option]);
    if let Some(map) = mappings {
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map;
    }
    container.set("/root/readonly", json!(false)).mount(mount).args(&["stat", "-c", "%u:%g", "/mnt"]).launch(&["run"])
}

fn map(container: u32, host: u32) -> Value {
    json!([{"containerID": container, "hostID": host, "size": 10}])
}

#[test]
fn an_id_mapped_mount_has_mappings_of_its_own() {
    if known_deviation() {
        return;
    }
    for option in ["idmap", "ridmap"] {
        // 5 and 6 on disk are 1005 and 1006 here.
        assert_eq!(owner_seen(option, Some(map(0, 1000)), Container::new()).ok(), "1005:1006", "{option}");
    }
}

#[test]
fn or_those_of_the_container() {
    if known_deviation() {
        return;
    }
    let container = Container::new().user_namespace(100_000, 65536);
    std::os::unix::fs::chown(container.rootfs(), Some(100_000), Some(100_000)).expect("we are root");
    // What is 5 on disk is 100005 on this machine, and that is 5 inside.
    assert_eq!(owner_seen("idmap", None, container).ok(), "5:6");
}

#[test]
fn without_any_mapping_idmap_is_an_error() {
    if known_deviation() {
        return;
    }
    let seen = owner_seen("idmap", None, Container::new());
    seen.fails("idmap without mappings, and the container has none");
    let shared = bind("/tmp".as_ref(), "/mnt", &["bind", "idmap"]);
    let mut half = shared.clone();
    half["uidMappings"] = map(0, 1000);
    let container = Container::new().mount(half);
    container.create().fails("/gidMappings: uidMappings and gidMappings come together");
    container.assert_nothing_left();
}

#[test]
fn a_filesystem_that_cannot_be_id_mapped_is_an_error() {
    if known_deviation() {
        return;
    }
    let mut mount = bind("/proc".as_ref(), "/mnt", &["bind", "idmap"]);
    mount["uidMappings"] = map(0, 1000);
    mount["gidMappings"] = map(0, 1000);
    let container = Container::new().mount(mount);
    container.create().fails("does not support id-mapped mounts");
    container.assert_nothing_left();
}
