"""Fills an environment up to so many packages with copies of those that it has, each of another name."""

import pathlib
import shutil
import sys

site, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
originals = sorted(site.glob("*.dist-info"))
for number in range(wanted - len(originals)):
    info = originals[number % len(originals)]
    end = f"_copy{number}"
    name, version = info.name.removesuffix(".dist-info").rsplit("-", 1)
    copy = site / f"{name}{end}-{version}.dist-info"
    lines = []
    for line in (info / "RECORD").read_text().splitlines():
        path, rest = line.split(",", 1) if not line.startswith('"') else (None, None)
        if path is None or path.startswith(("..", "/")) or ".pth" in path:
            continue
        top, _, below = path.partition("/")
        if top == info.name:
            new = f"{copy.name}/{below}"
        elif below:
            new = f"{top}{end}/{below}"
        else:
            stem, dot, suffix = top.partition(".")
            new = f"{stem}{end}{dot}{suffix}"
        target = site / new
        if (site / path).is_file() and not path.endswith(".pyc"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(site / path, target)
            lines.append(f"{new},{rest}")
    metadata = (copy / "METADATA").read_text()
    before, after = metadata.split("\nName: ", 1)
    (copy / "METADATA").write_text(f"{before}\nName: {name}{end}\n{after.partition(chr(10))[2]}")
    (copy / "RECORD").write_text("\n".join(lines) + "\n")
