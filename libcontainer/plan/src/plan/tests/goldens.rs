//! `oci-bundles/NAME/plan.txt` is what `plimsoll plan` prints for the bundle beside it, on a host with the facts in
//! `oci-bundles/NAME/facts.json` or `oci-bundles/facts.json`. `BLESS=1` writes it anew: read the difference.
use crate::Bundle;
use crate::CgroupManager;
use crate::facts::HostFacts;
use crate::plan::data::Filling;
use crate::plan::{PlanOptions, create};
use std::fs;
use std::path::Path;

#[test]
fn bundles_have_the_plans_beside_them() {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oci-bundles");
    let mut seen = 0;
    for entry in fs::read_dir(&bundles).unwrap() {
        let directory = entry.unwrap().path();
        let Ok(config) = fs::read(directory.join("config.json")) else { continue };
        let name = directory.file_name().unwrap().to_str().unwrap();
        let facts = fs::read(directory.join("facts.json")).or_else(|_| fs::read(bundles.join("facts.json")));
        let facts: HostFacts = serde_json::from_slice(&facts.unwrap()).unwrap();
        // Somewhere that is the same on every machine.
        let bundle = Bundle::from_parts(Path::new("/oci-bundles").join(name), config).unwrap();
        // A host with a systemd is asked for with --systemd-cgroup.
        let cgroup_manager = if facts.systemd.is_some() { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
        let options = PlanOptions { id: name.to_owned(), cgroup_manager, ..PlanOptions::default() };
        let plan = create(bundle.path(), bundle.spec(), &facts, &options).unwrap();
        check(&directory.join("plan.txt"), &plan.to_text(crate::EnvValues::Hidden));
        let data = directory.join("plan.json");
        if data.exists() {
            let lines: Vec<_> = plan.with_slots().map(|line| serde_json::to_string(&Filling(line)).unwrap()).collect();
            check(&data, &format!("{{\"lines\": [\n{}\n]}}\n", lines.join(",\n")));
        }
        seen += 1;
    }
    assert!(seen >= 7, "only {seen} bundles");
}

fn check(golden: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(golden, text).unwrap();
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    // A filter is made for the processor that it is loaded on: the goldens hold that of x86_64.
    let same_filter = |line: &&str| cfg!(target_arch = "x86_64") || !line.contains("load-seccomp");
    assert!(
        text.lines().filter(same_filter).eq(expected.lines().filter(same_filter)),
        "{} differs; BLESS=1 writes it anew. Now it is\n{text}",
        golden.display()
    );
}
