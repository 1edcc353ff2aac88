# Loads native files, each in a process of its own, and says what came of it.
# Arguments: seconds per file, then for each file its path and its module name ("" where it is no module).
# Answer, one line a file: its index, "ok", "no" or "dead", and the words, backslash-escaped.
import os, sys

try:
    import _ctypes
except ImportError:
    _ctypes = None


def load(path, module):
    words = None
    if _ctypes is not None:
        try:
            _ctypes.dlopen(path, 2)
            return None
        except OSError as error:
            words = str(error)
    if not module:
        return words
    # On its own it does not load; its package may load first what it needs.
    import importlib

    try:
        importlib.import_module(module)
    except BaseException as error:
        return str(error) or type(error).__name__
    return None


def answer(index, word, words):
    line = "%d %s %s\n" % (index, word, words.encode("unicode_escape").decode("ascii"))
    os.write(out, line.encode("ascii"))


# Modules may print what they like: the answer goes where standard output was, and they write to standard error.
out = os.dup(1)
os.dup2(2, 1)
limit = int(sys.argv[1])
for index in range((len(sys.argv) - 2) // 2):
    path, module = sys.argv[2 + 2 * index], sys.argv[3 + 2 * index]
    child = os.fork()
    if child == 0:
        import signal

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit)
        words = load(path, module)
        answer(index, "ok" if words is None else "no", words or "")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        import signal

        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if number == signal.SIGALRM:
            answer(index, "dead", "it did not finish within %d s" % limit)
        elif number:
            answer(index, "dead", "it was ended by signal %d" % number)
        else:
            answer(index, "dead", "it ended with status %d" % os.WEXITSTATUS(status))
