#![forbid(unsafe_code)]
use super::*;
#[test]
fn x() {
    let p: LinuxSeccomp = serde_json::from_str(include_str!("../../../oci-bundles/docker-default/seccomp.json")).unwrap();
    let c = compile(&p).unwrap();
    panic!("{}", c.filter.len() / 8);
}
