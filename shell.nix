# What building and looking takes. The tests make a NixOS-like root out of Debian's packages, and run on Debian.
{
  pkgs ? import <nixpkgs> { },
}:
pkgs.mkShell {
  packages = [
    pkgs.cargo
    pkgs.clippy
    pkgs.rust-analyzer
    pkgs.rustc
    pkgs.rustfmt
    pkgs.python3
    pkgs.strace
  ];
}
