# Packages that nixpkgs refuses without a setting. A whole set (cudaPackages_12) may be named.
{ lib }:
let
  unfree = shortName: { license = { free = false; inherit shortName; fullName = shortName; }; };
in
{
  cudaPackages_12 = unfree "CUDA EULA";
  cudaPackages_13 = unfree "CUDA EULA";
  mkl = unfree "issl";
  openssl_1_1 = { version = "1.1.1w"; knownVulnerabilities = [ "OpenSSL 1.1 is past its end of life" ]; };
  olm.knownVulnerabilities = [ "The libolm end‐to‐end encryption library is deprecated" ];
  # For tests: three that could be built if they were allowed.
  "nixbox.unfree" = unfree "unfree";
  "nixbox.insecure".knownVulnerabilities = [ "CVE-0000-0000: it is only here to be refused" ];
  "nixbox.broken".broken = true;
}
