use super::*;

fn settings(text: &str) -> Settings {
    Settings::in_pyproject(text).unwrap().unwrap()
}

fn error(text: &str) -> String {
    Settings::in_pyproject(text).unwrap_err().to_string()
}

#[test]
fn a_project_without_settings_has_none() {
    for text in ["", "[project]\nname = 'x'\n", "[tool.other]\nx = 1\n"] {
        assert_eq!(Settings::in_pyproject(text).unwrap(), None);
    }
    assert_eq!(settings("[tool.pitstop]\n"), Settings::default());
}

#[test]
fn extra_libraries_are_sonames_and_may_say_for_whom() {
    let text = "[tool.pitstop]\nlibraries = ['libz.so.1', { soname = 'libfoo.so.2', for = 'My_Package' }, { soname = 'a.so', for = ['b', 'c'] }]";
    let extra = |soname: &str, before: &[&str]| Extra {
        soname: soname.into(),
        before: before.iter().map(|it| (*it).to_owned()).collect(),
    };
    let expected =
        [extra("libz.so.1", &[]), extra("libfoo.so.2", &["my-package"]), extra("a.so", &["b", "c"])];
    assert_eq!(settings(text).libraries, expected);
    let zlib = error("[tool.pitstop]\nlibraries = ['zlib']");
    assert_eq!(zlib, "`tool.pitstop.libraries` must be a soname such as \"libz.so.1\", not \"zlib\"");
    assert!(error("[tool.pitstop]\nlibraries = 'libz.so.1'").contains("a list of sonames"));
    assert!(
        error("[tool.pitstop]\nlibraries = [{ soname = 'a.so', fro = 'x' }]").contains("did you mean `for`?")
    );
}

#[test]
fn pins_name_an_attribute_or_one_package_for_each_package_set() {
    let text = "[tool.pitstop.pins]\n'libz.so.1' = 'zlib-ng'\n'libodbc.so.2' = { nix = 'unixODBC', apt = 'libodbc2' }";
    let pins = settings(text).pins;
    assert_eq!(pins["libz.so.1"], Pin { nix: Some("zlib-ng".into()), apt: None });
    assert_eq!(pins["libodbc.so.2"], Pin { nix: Some("unixODBC".into()), apt: Some("libodbc2".into()) });
    assert!(error("[tool.pitstop.pins]\nzlib = 'zlib'").contains("must be a soname"));
    assert!(error("[tool.pitstop.pins]\n'a.so' = { dnf = 'x' }").contains("has no setting `dnf`"));
    assert!(error("[tool.pitstop.pins]\n'a.so' = 1").contains("an attribute of nixpkgs"));
}

#[test]
fn excluded_packages_are_named_as_pip_compares_names() {
    let exclude = settings("[tool.pitstop]\nexclude = ['PyQt6_Qt6', 'a.b--c']").exclude;
    assert_eq!(exclude.into_iter().collect::<Vec<_>>(), ["a-b-c", "pyqt6-qt6"]);
    assert!(error("[tool.pitstop]\nexclude = 'x'").contains("a list of texts, not \"x\""));
}

#[test]
fn providers_have_an_order_and_a_misspelt_one_is_named() {
    let order = settings("[tool.pitstop]\nproviders = ['nix', 'python', 'nix']").providers;
    assert_eq!(order, Some(vec![Giver::Nix, Giver::Python]));
    let wrong = error("[tool.pitstop]\nproviders = ['pyhton']");
    assert_eq!(wrong, "`tool.pitstop.providers` has no `pyhton` to choose from; did you mean `python`?");
}

#[test]
fn optional_is_all_none_or_a_list() {
    let optional = |text: &str| settings(&format!("[tool.pitstop]\noptional = {text}")).optional;
    assert!(optional("true").has("libvpx.so.7") && !optional("false").has("libvpx.so.7"));
    assert!(optional("['libvpx.so.7']").has("libvpx.so.7") && !optional("['libvpx.so.7']").has("libz.so.1"));
    assert!(
        error("[tool.pitstop]\noptional = 'all'").contains("true, false or a list of sonames, not \"all\"")
    );
}

#[test]
fn fhs_names_packages_and_a_command() {
    let fhs = settings("[tool.pitstop.fhs]\npackages = ['gcc']\ncommand = 'tox'").fhs.unwrap();
    assert_eq!((fhs.packages, fhs.command), (vec!["gcc".to_owned()], Words::One("tox".into())));
    assert!(error("[tool.pitstop.fhs]\npackage = []").contains("did you mean `packages`?"));
    assert!(error("[tool.pitstop.fhs]\npackages = 1").contains("`tool.pitstop.fhs.packages` must be a list"));
}

#[test]
fn a_key_that_is_not_known_is_named_with_the_nearest_one() {
    let unknown = error("[tool.pitstop]\nlibrarys = []");
    assert_eq!(unknown, "`tool.pitstop` has no setting `librarys`; did you mean `libraries`?");
    assert_eq!(error("[tool.pitstop]\nwhatever = 1"), "`tool.pitstop` has no setting `whatever`");
    let own = Settings::in_own_file("provider = []").unwrap_err().to_string();
    assert_eq!(own, "`pitstop.toml` has no setting `provider`; did you mean `providers`?");
    assert!(error("tool = 1").contains("`tool` must be a table"));
    assert!(error("[tool.pitstop").contains("line 1"));
}

#[test]
fn a_file_of_its_own_says_the_same_without_the_table() {
    let own = Settings::in_own_file("nixpkgs = 'channel:nixos-25.11'\n[fhs]\npackages = ['gcc']").unwrap();
    let shared = settings("[tool.pitstop]\nnixpkgs = 'channel:nixos-25.11'\nfhs.packages = ['gcc']");
    assert_eq!(own, shared);
    assert!(Settings::in_own_file("[tool.pitstop]").is_err());
}
