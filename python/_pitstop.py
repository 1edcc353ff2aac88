"""Start-up hook that `pitstop fix` put into this site-packages folder; `pitstop undo` takes it away.

Before an extension module of this environment is loaded, the libraries that this machine keeps elsewhere are loaded
by absolute path. The dynamic loader matches every later need against the sonames of what is already loaded, so no
variable has to be set and no file changed, and child processes see nothing of it.

What Python code asks for by name (`ctypes`, cffi, `ctypes.util.find_library`) is served when it asks: the loader is asked
first, as ever, and what was provided is opened by its path where the loader has nothing of that name.

Which file needs which libraries is written in the data file beside this one (its format is described in
crates/pitstop-core/src/plan/hook.rs). It is read when the first extension module of this folder is imported, never
before. Nothing here may stop Python from starting: whatever goes wrong is one line on standard error, at most.
"""

import sys

_DATA = "_pitstop.1.data"
_HOME = __file__.rpartition("/")[0] + "/"

_sites = {}  # site-packages folder, ending in "/": {path of a file in it: [libraries to load before it]}
_names = {}  # soname: [libraries to load for it, itself last]; empty where the loader finds it
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
    libraries, files, names, lists = [], {}, {}, {"": []}
    for line in lines[2:-2]:
        kind, first, second = line.split("\t")
        if kind == "file" or kind == "name":
            wanted = lists.get(second)
            if wanted is None:
                # Many files share one list: each is read once.
                if not second.replace(" ", "").isdigit():
                    raise ValueError
                wanted = lists[second] = [libraries[int(index)] for index in second.split(" ")]
            if kind == "file" and not wanted:
                raise ValueError
            (files if kind == "file" else names)[_plain(first)] = wanted
        elif kind == "library" and first == str(len(libraries)):
            path = _plain(second)
            libraries.append(path if path[0] == "/" else site + path)
        else:
            raise ValueError
    _names.update(names)
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


def _soname(stem):
    """The soname of a library that code names without its version (`libfoo.so`), among those it asks for by name."""
    if _HOME not in _sites:
        _sites[_HOME] = _read(_HOME)
    if stem in _names:
        return stem
    for soname in _names:
        if soname.startswith(stem + "."):
            return soname
    return None


def _provided(soname):
    """The library to open for `soname`, loaded with all that it needs; None where none was provided for it."""
    libraries = _names.get(soname)
    if not libraries:
        return None
    for library in libraries:
        if library not in _loaded:
            _load(library)
    return libraries[-1]


def _bare(name):
    """The bare name that is to be opened, if it is one; for a path, what the file at it lacks is loaded. Never raises."""
    try:
        if isinstance(name, (str, bytes)):
            from os import fsdecode, path as paths

            name = fsdecode(name)
            if "/" not in name:
                return name
            _prepare(paths.abspath(name))
    except Exception as error:
        _warn(error)
    return None


def _instead(name):
    """What to open for a bare name that the loader does not know; None where nothing was provided. Never raises."""
    try:
        return name and _provided(_soname(name))
    except Exception as error:
        _warn(error)
    return None


def _opening(original, at):
    """`original`, whose argument number `at` names a library to open, made to serve what was provided."""

    def dlopen(*arguments, **keywords):
        name = _bare(arguments[at]) if len(arguments) > at else None
        try:
            return original(*arguments, **keywords)
        except OSError:
            found = _instead(name)
            if not found:
                raise
        return original(*(arguments[:at] + (found,) + arguments[at + 1 :]), **keywords)

    return _like(dlopen, original)


def _serve(module):
    """Let `dlopen` of `_ctypes` prepare for a file of this environment, and find what was provided."""
    original = module.dlopen
    if hasattr(original, "pitstop"):
        return
    module.dlopen = dlopen = _opening(original, 0)
    ctypes = sys.modules.get("ctypes")
    if getattr(ctypes, "_dlopen", None) is original:
        ctypes._dlopen = dlopen
    if "ctypes.util" in sys.modules:
        _serve_util(sys.modules["ctypes.util"])
    else:
        _serve_util_once_imported()


def _serve_util(module):
    """Let `find_library` answer for what was provided: without ldconfig and compiler, it finds nothing."""
    original = module.find_library

    def find_library(name):
        soname = None
        try:
            soname = _soname("lib" + name + ".so")
            if _provided(soname):
                return soname
        except Exception as error:
            _warn(error)
        return original(name) or soname

    if not hasattr(original, "pitstop"):
        module.find_library = _like(find_library, original)


def _serve_util_once_imported():
    """The same for `ctypes.util`, which is imported after `ctypes`, if at all: until then, one more finder is asked."""

    def find_spec(name, path=None, target=None):
        if name != "ctypes.util":
            return None
        try:
            sys.meta_path.remove(finder)
        except ValueError:
            return None
        spec = sys.modules["_frozen_importlib"]._find_spec(name, path, target)
        try:
            # A loader of its own for each module; others are left alone.
            if spec is not None and spec.loader.path == spec.origin:
                execute = spec.loader.exec_module

                def exec_module(module):
                    execute(module)
                    try:
                        _serve_util(module)
                    except Exception as error:
                        _warn(error)

                spec.loader.exec_module = exec_module
        except Exception as error:
            _warn(error)
        return spec

    finder = type(sys.implementation)(find_spec=find_spec)
    sys.meta_path.insert(0, finder)


def _serve_cffi(module):
    """Let both ways in which cffi opens a library find what was provided: that of `cffi.FFI`, and that of modules that
    cffi has generated."""
    base = module.FFI
    if not _names or hasattr(base, "pitstop"):
        return
    module.load_library = _opening(module.load_library, 0)

    class Meta(type(base)):
        # Compiled modules make instances of the type itself.
        def __instancecheck__(cls, instance):
            return isinstance(instance, base)

    body = {"dlopen": _opening(base.dlopen, 1), "__doc__": base.__doc__, "__module__": base.__module__, "pitstop": True}
    module.FFI = Meta("FFI", (base,), body)


def _explain(error, path):
    """Say what mends it, where a library that an extension module of this environment needs is missing."""
    words = error.msg
    if path.startswith(_HOME) and words.__class__ is str and "cannot open shared object file" in words:
        library = words.partition(":")[0]
        error.msg = "%s\npitstop: %s is missing for %s; run `pitstop fix %s`" % (
            words, library, path[len(_HOME) :], sys.prefix,
        )


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
        try:
            module = original(self, spec)
        except ImportError as error:
            try:
                _explain(error, spec.origin)
            except Exception as other:
                _warn(other)
            raise
        if spec.name == "_ctypes" or spec.name == "_cffi_backend":
            try:
                (_serve if spec.name == "_ctypes" else _serve_cffi)(module)
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
