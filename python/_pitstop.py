"""Start-up hook that `pitstop fix` put into this site-packages folder; `pitstop undo` takes it away.

Before an extension module of this environment is loaded, the libraries that this machine keeps elsewhere are loaded
by absolute path. The dynamic loader matches every later need against the sonames of what is already loaded, so no
variable has to be set and no file changed, and child processes see nothing of it.

Which file needs which libraries is written in the data file beside this one (its format is described in
crates/pitstop-core/src/plan/hook.rs). It is read when the first extension module of this folder is imported, never
before. Nothing here may stop Python from starting: whatever goes wrong is one line on standard error, at most.
"""

import sys

_DATA = "_pitstop.1.data"
_HOME = __file__.rpartition("/")[0] + "/"

_sites = {}  # site-packages folder, ending in "/": {path of a file in it: [libraries to load before it]}
_loaded = set()  # libraries that are in this process already
_warned = False


def _warn(reason):
    """Say once what is wrong; standard error may be closed, replaced, or None."""
    global _warned
    if not _warned:
        _warned = True
        try:
            text = "pitstop: %s; run `pitstop fix %s`" % (reason, sys.prefix)
            sys.stderr.write(text.replace("\n", " ") + "\n")
        except Exception:
            pass


def _plain(field):
    """A field of the data file without its escapes."""
    if "\\" not in field:
        return field
    parts = field.split("\\\\")
    return "\\".join([part.replace("\\t", "\t").replace("\\n", "\n") for part in parts])


def _parse(site, text):
    """What each file needs; None when the data was made for another Python. Raises on anything unexpected."""
    lines = text.split("\n")
    if lines[0] != "pitstop 1" or lines[-2:] != ["end", ""]:
        raise ValueError
    kind, version, base = lines[1].split("\t")
    if kind != "python":
        raise ValueError
    if version != "%d.%d" % sys.version_info[:2] or _plain(base) != sys.base_prefix:
        return None
    libraries, files, lists = [], {}, {}
    for line in lines[2:-2]:
        kind, first, second = line.split("\t")
        if kind == "file":
            wanted = lists.get(second)
            if wanted is None:
                # Many files share one list: each is read once.
                if not second.replace(" ", "").isdigit():
                    raise ValueError
                wanted = lists[second] = [libraries[int(index)] for index in second.split(" ")]
            files[_plain(first)] = wanted
        elif kind == "library" and first == str(len(libraries)):
            path = _plain(second)
            libraries.append(path if path[0] == "/" else site + path)
        else:
            raise ValueError
    return files


def _read(site):
    """The data of one site-packages folder; empty where there is none, or none that fits."""
    from _io import FileIO

    files = None
    try:
        with FileIO(site + _DATA) as stream:
            data = stream.read()
        files = _parse(site, data.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()))
        if files is None:
            _warn("the Python of this environment has changed")
    except FileNotFoundError:
        if site == _HOME:
            _warn(site + _DATA + " is gone")
    except (ValueError, IndexError):
        _warn(site + _DATA + " is damaged")
    return files or {}


def _load(library):
    """Load a library for good, as the interpreter loads extension modules: with its own dlopen flags.

    `_imp.create_dynamic` opens the file, finds no module in it, says so, and never closes it. Unlike `_ctypes.dlopen`
    it is always there, costs no import, and works in an interpreter with its own GIL.
    """
    from _imp import create_dynamic

    # As much of a module spec as it asks for. A class of our own would have to be made at every start.
    spec = type(sys.implementation)(name="_pitstop_library", origin=library)
    try:
        create_dynamic(spec)
    except ImportError as error:
        if "does not define" not in str(error):
            _warn(error)
            return
    _loaded.add(library)


def _prepare(path):
    """Load what the file at `path` lacks, if it is in a site-packages folder that has such data."""
    if path.startswith(_HOME):
        site = _HOME
    else:
        # Another spelling of this folder (lib64), or a second environment on sys.path.
        head, mark, _ = path.rpartition("/site-packages/")
        if not mark:
            return
        site = head + mark
    files = _sites.get(site)
    if files is None:
        files = _sites[site] = _read(site)
    for library in files.get(path[len(site) :], ()):
        if library not in _loaded:
            _load(library)


def _like(function, original):
    """Mark `function` as ours, and let tracebacks drop its frame wherever they drop the original's."""
    function.pitstop = True
    try:
        function.__code__ = function.__code__.replace(co_filename=original.__code__.co_filename)
    except AttributeError:
        pass
    return function


def _serve(module):
    """Let `dlopen` of `_ctypes` prepare for a file of this environment, too."""
    original = module.dlopen
    if hasattr(original, "pitstop"):
        return

    def dlopen(*arguments):
        try:
            path = arguments[0]
            if path is not None:
                from os import fsdecode, path as paths

                path = fsdecode(path)
                if "/" in path:
                    _prepare(paths.abspath(path))
        except Exception as error:
            _warn(error)
        return original(*arguments)

    module.dlopen = _like(dlopen, original)
    ctypes = sys.modules.get("ctypes")
    if getattr(ctypes, "_dlopen", None) is original:
        ctypes._dlopen = dlopen


def _serve_once_created(importer):
    """The same where `_ctypes` is built into Python: importing it now would cost every start."""
    stored = vars(importer)["create_module"]
    original = importer.create_module

    def create_module(spec):
        module = original(spec)
        if spec.name == "_ctypes":
            try:
                importer.create_module = stored
                _serve(module)
            except Exception as error:
                _warn(error)
        return module

    if not hasattr(original, "pitstop"):
        importer.create_module = staticmethod(_like(create_module, original))


def install():
    """Wrap the loader of extension modules, once for each interpreter. The entry point of `pitstop.start`."""
    loader = sys.modules["_frozen_importlib_external"].ExtensionFileLoader
    original = loader.create_module
    if hasattr(original, "pitstop"):
        return

    def create_module(self, spec):
        try:
            _prepare(spec.origin)
        except Exception as error:
            _warn(error)
        module = original(self, spec)
        if spec.name == "_ctypes":
            try:
                _serve(module)
            except Exception as error:
                _warn(error)
        return module

    loader.create_module = _like(create_module, original)
    if "_ctypes" in sys.modules:
        _serve(sys.modules["_ctypes"])
    elif "_ctypes" in sys.builtin_module_names:
        _serve_once_created(sys.modules["_frozen_importlib"].BuiltinImporter)


try:
    install()
except Exception as _error:
    _warn(_error)
