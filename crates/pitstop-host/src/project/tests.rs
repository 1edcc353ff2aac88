use pitstop_core::locate::locate;
use pitstop_core::lockfile::{Locked, Origin};

use super::*;

fn write(folder: &Path, name: &str, text: &str) {
    fs_err::create_dir_all(folder).unwrap();
    fs_err::write(folder.join(name), text).unwrap();
}

fn library(soname: &str) -> Locked {
    Locked { soname: soname.into(), origin: Origin::Python, told_by: None, needed_by: BTreeSet::new() }
}

#[test]
fn the_nearest_folder_with_settings_or_a_lock_is_the_project() {
    let top = tempfile::tempdir().unwrap();
    let deep = top.path().join("project/member/src");
    fs_err::create_dir_all(&deep).unwrap();
    write(&top.path().join("project"), SHARED, "[tool.pitstop]\nexclude = ['x']\n");
    write(&top.path().join("project/member"), SHARED, "[project]\nname = 'member'\n");
    // Whatever is not about pitstop may be broken.
    write(&deep, SHARED, "[[[");
    let found = Project::find(&deep).unwrap().unwrap();
    assert_eq!(found.folder, top.path().join("project"));
    assert_eq!(found.lock_file, top.path().join("project/pitstop.lock"));
    assert!(found.settings.exclude.contains("x") && found.lock.is_none());

    write(&top.path().join("project/member"), lockfile::NAME, "version = 1\n");
    let found = Project::find(&deep).unwrap().unwrap();
    assert_eq!((found.folder, found.lock), (top.path().join("project/member"), Some(Lock::default())));
}

#[test]
fn an_environment_apart_from_its_project_has_that_of_the_working_folder() {
    let top = tempfile::tempdir().unwrap();
    let (project, apart) = (top.path().join("project"), top.path().join("envs/x"));
    write(&project, OWN, "optional = true\n");
    let found = |root: &Path| Project::of_environment(root, &project).unwrap().unwrap().folder;
    assert_eq!(found(&apart), project);
    assert_eq!(found(&project.join(".venv")), project);
    write(&top.path().join("envs"), OWN, "");
    assert_eq!(found(&apart), top.path().join("envs"));
}

#[test]
fn what_cannot_be_used_is_named_with_its_file() {
    let top = tempfile::tempdir().unwrap();
    let error = || Project::find(top.path()).unwrap_err().to_string();
    write(top.path(), SHARED, "[tool.pitstop]\nexclud = []\n");
    let file = top.path().join(SHARED).display().to_string();
    assert_eq!(error(), format!("{file}: `tool.pitstop` has no setting `exclud`; did you mean `exclude`?"));
    write(top.path(), SHARED, "[tool.pitstop]\n");
    write(top.path(), OWN, "");
    assert!(error().contains("in `pitstop.toml` and in"), "{}", error());
    fs_err::remove_file(top.path().join(OWN)).unwrap();
    write(top.path(), lockfile::NAME, "<<<<<<< HEAD\n");
    assert!(error().starts_with(&top.path().join(lockfile::NAME).display().to_string()), "{}", error());
}

#[test]
fn a_lock_is_written_anew_keeps_its_mode_and_only_when_it_changes() {
    let top = tempfile::tempdir().unwrap();
    write(top.path(), OWN, "");
    let project = Project::find(top.path()).unwrap().unwrap();
    assert!(!project.write(&|_| ()).unwrap());
    assert!(!project.lock_file.exists(), "an empty lock was begun");
    assert!(project.write(&|lock| lock.add(library("liba.so"))).unwrap());
    fs_err::set_permissions(&project.lock_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!project.write(&|lock| lock.add(library("liba.so"))).unwrap());
    // What another fix wrote meanwhile is kept.
    assert!(project.write(&|lock| lock.add(library("libb.so"))).unwrap());
    let lock = Project::find(top.path()).unwrap().unwrap().lock.unwrap();
    assert_eq!(
        lock.libraries().iter().map(|it| it.soname.as_str()).collect::<Vec<_>>(),
        ["liba.so", "libb.so"]
    );
    assert_eq!(fs_err::metadata(&project.lock_file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs_err::read_dir(top.path()).unwrap().count(), 2, "something was left beside it");
}

#[test]
fn a_lock_that_was_spoilt_meanwhile_is_not_overwritten() {
    let top = tempfile::tempdir().unwrap();
    write(top.path(), OWN, "");
    let project = Project::find(top.path()).unwrap().unwrap();
    write(top.path(), lockfile::NAME, "version = 2\n");
    project.write(&|lock| lock.add(library("liba.so"))).unwrap_err();
    assert_eq!(fs_err::read_to_string(&project.lock_file).unwrap(), "version = 2\n");
}

#[test]
fn a_kind_of_machine_is_its_release_and_processor() {
    let arch = architecture();
    assert_eq!(systems("ID=debian\nVERSION_ID=\"12\"\n").apt, format!("debian-12-{arch}"));
    assert_eq!(systems("ID=ubuntu\nVERSION_ID=24.04\n").apt, format!("ubuntu-24.04-{arch}"));
    assert_eq!(systems("ID=debian\nVERSION_CODENAME=sid\n").apt, format!("debian-sid-{arch}"));
    assert!(systems("").nix.ends_with("-linux"));
}

#[test]
fn a_pinned_package_is_the_only_one_of_its_set() {
    let mut located = locate("libodbc.so.2");
    let debian = located.debian(Suite::Debian12).count();
    pin(&mut located, &Pin { nix: Some("mine".into()), apt: None }, Suite::Debian12);
    let names: Vec<&str> = located.nix().map(|(name, _)| name).collect();
    assert_eq!(names, ["mine"]);
    assert_eq!(located.debian(Suite::Debian12).count(), debian);
}
