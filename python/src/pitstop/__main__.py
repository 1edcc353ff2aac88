"""`python -m pitstop`: the command, for the environment of this Python."""

import os
import sys
import sysconfig


def command():
    """The program that came with this package: where its installer put scripts."""
    folders = [sysconfig.get_path("scripts")]
    # Where there is a folder of the user's own, `pip install --user` puts them there.
    user = "{}_user".format(os.name)
    if user in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", user))
    # `pip install --target` and zipped environments have them beside the packages.
    folders.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin"))
    for folder in folders:
        program = os.path.join(folder, "pitstop")
        if os.path.isfile(program):
            return program
    sys.exit("pitstop: the program is in none of {}: install the package again".format(", ".join(folders)))


def main():
    """Becomes the command. An environment that is not active is meant nevertheless: this Python is its own."""
    environment = dict(os.environ)
    if sys.prefix != sys.base_prefix:
        environment["VIRTUAL_ENV"] = sys.prefix
    program = command()
    os.execve(program, [program, *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
