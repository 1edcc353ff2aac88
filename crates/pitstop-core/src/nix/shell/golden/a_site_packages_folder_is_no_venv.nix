# Written by `pitstop shell --flake --optional site-packages`, which writes it anew when it runs again.
# Without the line above it is yours, and pitstop leaves it as it is.
#
# The environment: site-packages
# Its Python, or another of its wheels, has libz.so.1 for numpy, pandas.
{
  description = "The shell of a Python environment with native packages";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    {
      devShells = nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system};
          libraries = [
            (pkgs.libGL or pkgs.libglvnd) # libGL.so.1 for opencv-python
            pkgs.stdenv.cc.cc.lib # libstdc++.so.6, libgcc_s.so.1 for pandas, ruff
          ];
        in
        {
          default = pkgs.mkShell {
            packages = [ (pkgs.python313FreeThreading or pkgs.python3) ];

            # Programs that were built for other systems find these through nix-ld or pitstop-ld.
            NIX_LD = pkgs.stdenv.cc.bintools.dynamicLinker;
            NIX_LD_LIBRARY_PATH = pkgs.lib.makeLibraryPath libraries;

            # Lets the packages of this environment find their libraries, and changes nothing for
            # other programs. pitstop has to be on the PATH, where its NixOS and home-manager
            # modules put it; a shell that does without it is written by `pitstop shell
            # --ld-library-path`.
            shellHook = ''
              venv=site-packages
              if [ ! -e "$venv" ]; then
                echo "There is no $venv here, and enter this shell again." >&2
              else
                if type -P pitstop > /dev/null; then
                  pitstop fix --quiet --optional "$venv"
                else
                  echo "pitstop is not on the PATH, so packages of $venv may miss libraries." >&2
                fi
              fi
            '';
          };
        }
      );
    };
}
