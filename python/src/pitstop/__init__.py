"""Makes Python packages that ship native code run on machines that lack their libraries."""
