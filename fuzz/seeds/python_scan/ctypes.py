import ctypes, sys, os
from ctypes.util import find_library as f
from cffi import FFI
NAME = {"linux": "libz.so.1"}.get(sys.platform, "z") if os.name == "posix" else f"lib{1}.dll"
for one in ("libgomp.so.1", "libgomp.so"):
    try:
        lib = ctypes.CDLL(one, mode=ctypes.RTLD_GLOBAL)
        break
    except OSError:
        pass
ctypes.cdll.LoadLibrary(f("ssl") or NAME)
FFI().dlopen("libpango-1.0.so.0")
def load_library(name): return ctypes.PyDLL("lib%s.so" % name)
load_library("foo")
class A:
    x = lambda self, *a: [ctypes.CDLL(i) for i in a if a]
