//! A NixOS-like root on any Linux that has Nix: for tests, and for looking.
