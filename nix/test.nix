# A NixOS that boots, in which a foreign program starts, with the variables of a session and without them.
{
  testers,
  hello,
  patchelf,
  runCommand,
  module ? ./module.nix,
}:
testers.runNixOSTest {
  name = "pitstop";
  nodes.machine =
    { config, ... }:
    {
      imports = [ module ];
      programs.pitstop.enable = true;
      environment.systemPackages = [
        # As a program of another Linux: its loader is the one that NixOS has not, and it has no search path.
        (runCommand "foreign-hello" { nativeBuildInputs = [ patchelf ]; } ''
          install -D -m755 ${hello}/bin/hello $out/bin/foreign-hello
          patchelf --remove-rpath $out/bin/foreign-hello
          patchelf --set-interpreter "$(cat ${config.programs.pitstop.shim}/nix-support/ldpath)" $out/bin/foreign-hello
        '')
      ];
    };
  testScript = ''
    machine.wait_for_unit("multi-user.target")
    machine.succeed("test -e /run/current-system/sw/share/nix-ld/lib/ld.so")
    machine.succeed("test -e /run/current-system/sw/share/nix-ld/lib/libz.so.1")
    machine.succeed("test $NIX_LD_LIBRARY_PATH = /run/current-system/sw/share/nix-ld/lib")
    machine.succeed("foreign-hello")
    machine.succeed("env -i $(type -P foreign-hello)")
    machine.succeed("pitstop doctor")
  '';
}
