//! The few packages of the corpus that are quick to try: after `pitstop fix` each ends as it does on a Debian that has the libraries.

use std::path::Path;
use std::process::Command;

#[test]
fn packages_end_after_a_fix_as_they_do_where_everything_is_in_its_place() {
    let cargo = std::env::var_os("CARGO").unwrap();
    let built = Command::new(cargo).args(["build", "--quiet", "--locked", "--package", "pitstop"]).status();
    assert!(built.unwrap().success());
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let to = tempfile::tempdir().unwrap();
    let mut corpus = Command::new(xtask);
    corpus.args(["corpus", "--quick", "--jobs", "4", "--pitstop"]).arg(xtask.with_file_name("pitstop"));
    let ran = corpus.arg("--to").arg(to.path()).output().unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{said}");

    let table = std::fs::read_to_string(to.path().join("corpus.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["packages"], 25, "{said}");
    assert_eq!(table["control"], 25, "{said}");
    assert_eq!(table["after"], 25, "{said}");
    // Were all to work before the fix too, the table would show nothing.
    assert!(table["before"].as_u64().unwrap() <= 20, "{said}");
    assert!(std::fs::read_to_string(to.path().join("corpus.html")).unwrap().contains("25 packages: "));
}
