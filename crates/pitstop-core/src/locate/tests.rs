use super::*;

fn nix_of(soname: &str) -> Vec<String> {
    locate(soname).nix().map(|(attribute, _)| attribute.to_owned()).collect()
}

#[test]
fn a_common_soname_has_a_nix_attribute_and_debian_packages() {
    let located = locate("libz.so.1");
    assert_eq!(located.class, Class::Lib);
    let first = &located.candidates[0];
    assert_eq!(first.source, Source::Nix { attribute: "zlib".into(), other_names: vec![] });
    assert!(first.exact);
    assert_eq!(first.soname, "libz.so.1");
    assert_eq!(located.debian(Suite::Debian12).next().unwrap().0, "zlib1g");
}

#[test]
fn renamed_attributes_follow_their_old_names() {
    assert_eq!(nix_of("libX11.so.6")[..2], ["xorg.libX11", "libx11"]);
    assert_eq!(nix_of("libGL.so.1")[..2], ["libGL", "libglvnd"]);
}

#[test]
fn classes_are_told_apart() {
    assert_eq!(locate("libc.so.6").class, Class::Libc);
    assert_eq!(locate("libstdc++.so.6").class, Class::Toolchain);
    assert_eq!(nix_of("libstdc++.so.6")[0], "stdenv.cc.cc.lib");
    assert_eq!(locate("libunheard-of.so.3").class, Class::Lib);
}

#[test]
fn a_driver_never_comes_from_a_package() {
    for soname in [
        "libcuda.so.1",
        "libcuda.so",
        "libnvidia-ml.so.1",
        "libnvidia-glcore.so.550.54.15",
        "libGLX_nvidia.so.0",
        "libEGL_nvidia.so.0",
        "libGLX_mesa.so.0",
        "libnvidia-egl-wayland.so.1",
    ] {
        let located = locate(soname);
        assert_eq!((located.class, located.candidates.len()), (Class::Driver, 0), "{soname}");
    }
    for soname in ["libcudart.so.12", "libcudnn.so.9", "libnvrtc.so.12", "libnvidia.so"] {
        assert_ne!(locate(soname).class, Class::Driver, "{soname}");
    }
}

#[test]
fn a_name_that_only_debian_uses_leads_to_what_nixpkgs_calls_it() {
    let located = locate("libpcap.so.0.8");
    let (attribute, candidate) = located.nix().next().unwrap();
    assert_eq!((attribute, candidate.soname.as_str(), candidate.exact), ("libpcap", "libpcap.so.1", false));
    let (package, candidate) = located.debian(Suite::Debian13).next().unwrap();
    assert_eq!((package, candidate.exact), ("libpcap0.8t64", true));

    let located = locate("libpcap.so.1");
    assert!(located.nix().next().unwrap().1.exact);
    let (package, candidate) = located.debian(Suite::Debian12).next().unwrap();
    assert_eq!(
        (package, candidate.soname.as_str(), candidate.exact),
        ("libpcap0.8", "libpcap.so.0.8", false)
    );
}

#[test]
fn other_versions_are_marked_and_the_nearest_comes_first() {
    let others = other_versions("libicuuc.so.71");
    assert!(others.iter().all(|candidate| !candidate.exact && candidate.soname != "libicuuc.so.71"));
    assert_eq!(others[0].soname, "libicuuc.so.72");
    assert!(others[0].reason.contains("another version of libicuuc.so.71"), "{}", others[0].reason);
    let located = locate("libicuuc.so.71");
    assert!(!located.candidates.is_empty());
    assert!(other_versions("libz.so.1").iter().all(|candidate| candidate.soname.starts_with("libz.so")));
    for odd in ["", ".so", "libz", "so", "lib.so.so.so", "libz.so.99999999999999999999999"] {
        let _ = other_versions(odd);
    }
}

#[test]
fn exact_candidates_stand_before_all_others() {
    for row in table::all() {
        let located = locate(row.soname);
        let exact: Vec<bool> = located.candidates.iter().map(|candidate| candidate.exact).collect();
        assert!(exact.is_sorted_by(|a, b| a >= b), "{}: {exact:?}", row.soname);
        let debian: Vec<bool> =
            located.debian(Suite::Debian13).map(|(_, candidate)| candidate.exact).collect();
        assert!(debian.is_sorted_by(|a, b| a >= b), "{}", row.soname);
        if located.class != Class::Driver {
            assert!(!located.candidates.is_empty(), "{}", row.soname);
        }
    }
}

#[test]
fn the_stem_ends_at_the_soname_suffix() {
    assert_eq!(stem("libz.so.1"), Some("libz.so"));
    assert_eq!(stem("liblmdb.so"), Some("liblmdb.so"));
    assert_eq!(stem("libfoo.source.so.2"), Some("libfoo.source.so"));
    assert_eq!(stem("libz"), None);
}
