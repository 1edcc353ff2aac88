# What is not a Debian package: stdenv, the trivial builders, and the system that a box boots.
{ lib, derive, all, system, pkgs }:
let
  shell = "${all.bash}/bin/bash";
  essentials = [ "bash" "coreutils" "findutils" "gnugrep" "gnused" "gnutar" "gzip" "diffutils" ];
  initialPath = map (id: all.${id}) essentials;

  setup = derive {
    pname = "stdenv-linux";
    builder = "/bin/bash";
    args = [ "-c" ''export PATH=/usr/bin:/bin; mkdir -p "$out" && cp ${./setup.sh} "$out/setup"'' ];
    env = { };
  };
  stdenv = setup // {
    inherit mkDerivation shell initialPath;
    cc = derive
      {
        pname = "gcc-wrapper";
        inherit (all."stdenv.cc.cc") version;
        builder = "/bin/bash";
        args = [ "-c" ''export PATH=/usr/bin:/bin; mkdir -p "$out/nix-support"'' ];
        passthru = {
          cc = all."stdenv.cc.cc";
          isGNU = true;
          isClang = false;
          libc = all.glibc;
          bintools.dynamicLinker = "${all.glibc}/lib/ld-linux-x86-64.so.2";
        };
      };
    isLinux = true;
    hostPlatform = {
      inherit system;
      isLinux = true;
      isx86_64 = true;
      config = "x86_64-unknown-linux-gnu";
      libDir = "lib64";
    };
    buildPlatform = stdenv.hostPlatform;
    targetPlatform = stdenv.hostPlatform;
  };

  mkDerivation = given:
    let
      args = if lib.isFunction given then given (args // { finalPackage = null; }) else given;
      parsed = builtins.parseDrvName args.name;
      known = [ "pname" "version" "name" "outputs" "meta" "passthru" "builder" "args" "nativeBuildInputs" "buildInputs" "propagatedBuildInputs" "packages" "inputsFrom" ];
    in
    derive {
      pname = args.pname or (if args ? name && parsed.version == "" then args.name else parsed.name);
      version = args.version or (if args ? name && parsed.version != "" then parsed.version else null);
      outputs = args.outputs or [ "out" ];
      meta = args.meta or { };
      passthru = args.passthru or { };
      builder = args.builder or shell;
      args = args.args or [ "-e" ./builder.sh ];
      env = removeAttrs args known // {
        stdenv = setup;
        initialPath = toString initialPath;
        nativeBuildInputs = (args.nativeBuildInputs or [ ]);
        buildInputs = (args.buildInputs or [ ]);
      };
    };

  runCommand = name: env: buildCommand:
    mkDerivation (env // { inherit name buildCommand; passAsFile = [ "buildCommand" ] ++ (env.passAsFile or [ ]); });
  writeTextFile = { name, text, executable ? false, destination ? "" }:
    runCommand name { inherit text destination; passAsFile = [ "text" ]; } ''
      mkdir -p "$(dirname "$out$destination")"
      cp "$textPath" "$out$destination"
      ${lib.optionalString executable ''chmod +x "$out$destination"''}
    '';
  symlinkJoin = { name, paths, postBuild ? "", ... }:
    runCommand name { paths = map (p: "${p}") paths; } ''
      mkdir -p "$out"
      for path in $paths; do cp -rsf --no-preserve=mode "$path"/* "$out/"; done
      ${postBuild}
    '';

  # For each program its `bin`, for the system profile.
  which = pkgs.writeShellScriptBin "which" "type -P \"$@\"";
  foreign = pname: package: derive {
    inherit pname;
    inherit (package) version builder args;
    env = removeAttrs package.drvAttrs [ "name" "system" "outputs" "builder" "args" ]
      // { finish = ""; loader = ""; needs = ""; sonames = ""; shell = ""; };
  };
  systemPrograms = essentials ++ [ "nix" "python311" "patchelf" "gawk" "strace" ];
in
{
  inherit stdenv runCommand writeTextFile symlinkJoin which;
  runCommandLocal = runCommand;
  runCommandNoCC = runCommand;
  stdenvNoCC = stdenv;
  gcc = all.gcc // { cc = all."stdenv.cc.cc"; };
  gcc-unwrapped = all."stdenv.cc.cc";
  libgcc = all."nixbox.libgcc";
  bashInteractive = all.bash;
  runtimeShell = shell;
  libc = all.glibc;
  python3 = all.python311;
  udev = pkgs.systemd;
  ffmpeg = pkgs.ffmpeg_7;
  krb5 = pkgs.libkrb5;
  emptyDirectory = runCommand "empty-directory" { } ''mkdir "$out"'';
  writeText = name: text: writeTextFile { inherit name text; };
  writeScript = name: text: writeTextFile { inherit name text; executable = true; };
  writeShellScript = name: text:
    writeTextFile { inherit name; executable = true; text = "#!${shell}\n${text}"; };
  writeShellScriptBin = name: text:
    writeTextFile { inherit name; executable = true; destination = "/bin/${name}"; text = "#!${shell}\n${text}"; };
  # As in nixpkgs, two files at one place are an error, or the first one is taken.
  buildEnv =
    { name, paths, pathsToLink ? [ "/" ], extraPrefix ? "", ignoreCollisions ? false, postBuild ? "" }:
    runCommand name
      {
        inherit pathsToLink extraPrefix;
        paths = map (p: "${p}") (if ignoreCollisions then lib.reverseList paths else paths);
        force = lib.optionalString ignoreCollisions "--force";
      } ''
      for path in $paths; do
        for part in $pathsToLink; do
          if [ ! -d "$path$part" ]; then continue; fi
          mkdir -p "$out$extraPrefix$part"
          cp -rs $force --no-preserve=mode "$path$part/." "$out$extraPrefix$part/"
        done
      done
      mkdir -p "$out"
      ${postBuild}
    '';
  mkShell = given:
    mkDerivation ({ name = "nix-shell"; buildCommand = ''mkdir "$out"''; } // given // {
      nativeBuildInputs = (given.packages or [ ]) ++ (given.nativeBuildInputs or [ ])
        ++ lib.concatMap (p: p.nativeBuildInputs or [ ]) (given.inputsFrom or [ ]);
      buildInputs = (given.buildInputs or [ ])
        ++ lib.concatMap (p: p.buildInputs or [ ]) (given.inputsFrom or [ ]);
    });
  mkShellNoCC = given: pkgs.mkShell given;

  nixbox = {
    # As Debian ships them, foreign programs here, whose loader is /lib64/ld-linux-x86-64.so.2: Python, and one written in Go.
    foreignPython = foreign "foreign-python3" all.python311;
    foreignGo = foreign "foreign-age" all.age;
    system = symlinkJoin {
      name = "nixbox-system";
      paths = map (id: lib.getBin all.${id}) systemPrograms
        ++ [ (lib.getBin all.glibc) which ];
    };
  };
}
