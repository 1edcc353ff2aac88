use super::*;

#[test]
fn sizes_are_written_for_people() {
    let written: Vec<String> = [0, 999, 1000, 9_990, 10_000, 129_788, 8_790_000, 3_000_000_000, u64::MAX]
        .into_iter()
        .map(size)
        .collect();
    let expected =
        ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "129 kB", "8.7 MB", "3.0 GB", "18446744073 GB"];
    assert_eq!(written, expected);
}

#[test]
fn a_cost_says_what_was_done() {
    let time = Duration::from_millis(1234);
    let cost = Cost { time, ..Cost::default() };
    assert_eq!(cost.to_string(), "nothing built or downloaded, 1.2 s");
    let cost = Cost { built: 1, downloaded: 3, bytes: 2_500_000, time };
    assert_eq!(cost.to_string(), "1 built, 3 downloaded (2.5 MB), 1.2 s");
}

#[test]
fn a_provision_is_serialised_with_its_provider() {
    let provision = Provision {
        soname: "libz.so.1".into(),
        file: "/lib/libz.so.1".into(),
        found: Some("libz.so.1".into()),
        exact: true,
        by: Provider::Host { rule: host::Rule::NixLd },
        dependencies: BTreeMap::new(),
        note: "already on this machine".into(),
    };
    let json = serde_json::to_value(&provision).unwrap();
    assert_eq!(json["by"]["provider"], "host");
    assert_eq!(json["by"]["rule"], "nix-ld");
}
