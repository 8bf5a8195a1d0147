//! annotations: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#annotations>
use plimsoll_integration_tests::Container;
use serde_json::json;

#[test]
fn they_are_kept_in_the_state() {
    let container = Container::new().set("/annotations", json!({"org.example.port": "Bergen", "empty": ""})).created();
    let state = container.state();
    assert_eq!(state["annotations"]["org.example.port"], "Bergen", "{state}");
    assert_eq!(state["annotations"]["empty"], "", "{state}");
}

#[test]
fn unknown_ones_and_unknown_properties_are_ignored() {
    let container = Container::new()
        .set("/annotations", json!({"org.example.unknown": "x"}))
        .set("/harbour", json!({"pilot": 1}))
        .set("/process/harbour", json!([]))
        .set("/linux/harbour", json!("x"))
        .set("/linux/resources/harbour", json!(3))
        .set("/windows", json!({"layerFolders": ["C:\\Layers"]}));
    container.args(&["true"]).run().ok();
}
