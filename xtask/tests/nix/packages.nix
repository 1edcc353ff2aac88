# Packages that are only their names, for evaluating without a store: `nixpkgs` is the release whose names they have.
{
  lib,
  nixpkgs ? "26.05",
}:
let
  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
  };
  named = names: lib.genAttrs names package;
  libraries =
    named [
      "acl"
      "attr"
      "bzip2"
      "curl"
      "expat"
      "glib"
      "libglvnd"
      "libsodium"
      "libssh"
      "libxcrypt-legacy"
      "libxml2"
      "ncurses5"
      "openssl"
      "systemd"
      "util-linux"
      "xz"
      "zlib"
      "zstd"
    ]
    // (
      if nixpkgs == "24.05" then
        {
          xorg = lib.genAttrs [
            "libX11"
            "libXext"
            "libXrender"
            "libICE"
            "libSM"
          ] (name: package "xorg.${name}");
        }
      else
        named [
          "libx11"
          "libxext"
          "libxrender"
          "libice"
          "libsm"
          "libxml2_13"
        ]
    );
  pkgs =
    libraries
    // {
      lib = lib // {
        makeLibraryPath = libraries: builtins.concatStringsSep ":" (map (one: "${one}/lib") libraries);
      };
      stdenv = {
        buildPlatform.canExecute = _: true;
        cc.cc = package "stdenv.cc.cc" // {
          lib = package "stdenv.cc.cc.lib";
        };
        cc.bintools.dynamicLinker = "/nix/store/00000000000000000000000000000000-glibc/lib/ld-linux-x86-64.so.2";
        hostPlatform.libDir = "lib64";
        hostPlatform.system = "x86_64-linux";
      };
      callPackage =
        file: arguments:
        let
          call = if builtins.isFunction file then file else import file;
        in
        call (builtins.intersectAttrs (builtins.functionArgs call) pkgs // arguments);
      buildEnv = arguments: package arguments.name // { inherit arguments; };
      rustPlatform.buildRustPackage = arguments: package arguments.pname // { inherit arguments; };
      testers.runNixOSTest = arguments: package "vm-test-${arguments.name}" // { inherit arguments; };
      runCommand =
        name: _: _:
        package name;
      mkShell = arguments: package "shell" // { inherit arguments; };
    }
    // named [
      "cargo"
      "clippy"
      "hello"
      "installShellFiles"
      "nixfmt-tree"
      "patchelf"
      "python3"
      "rust-analyzer"
      "rustc"
      "rustfmt"
      "strace"
    ];
in
pkgs
