# Written by `pitstop shell --module`, which writes it anew when it runs again.
# Without the line above it is yours, and pitstop leaves it as it is.
#
# In the configuration: imports = [ ./pitstop.nix ];
# Its Python, or another of its wheels, has libz.so.1 for numpy, pandas.
{
  options,
  pkgs,
  ...
}:
let
  libraries = [
    (pkgs.libGL or pkgs.libglvnd) # libGL.so.1 for opencv-python
    pkgs.stdenv.cc.cc.lib # libstdc++.so.6, libgcc_s.so.1 for pandas, ruff
  ];
in
{
  # pitstop's module where the configuration has it; its farm is also where `pitstop fix` looks
  # first.
  programs =
    if options.programs ? pitstop then
      {
        pitstop = {
          enable = true;
          inherit libraries;
        };
      }
    else
      {
        nix-ld = {
          enable = true;
          inherit libraries;
        };
      };
}
