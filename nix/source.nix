# What a build reads of this tree, and nothing else: a change to a test or a page of text builds nothing anew.
{ lib }:
lib.fileset.toSource {
  root = ../.;
  fileset = lib.fileset.unions [
    ../Cargo.lock
    ../Cargo.toml
    # Cargo wants to see every member of the workspace.
    ../crates
    ../python
    ../xtask
  ];
}
