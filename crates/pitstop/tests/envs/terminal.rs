//! A command at a terminal has it to itself.

use crate::Root;

/// Types into a shell at a pseudoterminal and waits for what must come.
const TYPIST: &str = r#"
import os, pty, re, select, signal, sys
said, awaited = b"", b""
def give_up(*_): sys.exit(f"waited for {awaited} in vain; the terminal has {said}")
signal.signal(signal.SIGALRM, give_up); signal.alarm(120) # What never comes is not waited for.
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1="% ", TERM="xterm-256color", COLORTERM="truecolor")
    os.execvp("bash", ["bash", "--norc", "--noediting", "-i"])
def expect(pattern, again=None):
    global said, awaited
    awaited = pattern
    while not re.search(pattern, said):
        if again and not select.select([terminal], [], [], 2)[0]: type(again)
        else: said += os.read(terminal, 4096)
    said = said[re.search(pattern, said).end():]
def type(text): os.write(terminal, text.encode())
how = sys.argv[1]
# Words are put together by the shell, so that the echo of what was typed is no answer.
type(f"{how} bash -c 'echo re\"\"ady; exec sleep 1000'\n"); expect(rb"ready")
type("\x1a"); expect(rb"Stopped")
type("bg; jobs; echo li\"\"sted\n"); expect(rb"Running[^\n]*sleep 1000[^\n]*\n"); expect(rb"listed")
type("fg\n"); expect(rb"sleep 1000")
# The shell says so before it gives the terminal away: what comes too early is nobody's.
type("\x03"); expect(rb"% ", again="\x03"); type("echo status=$?\n"); expect(rb"status=130\r")
type(f"{how} bash --norc --noediting -i\n"); expect(rb"% ")
type("bash -c 'echo re\"\"ady; exec sleep 1000'\n"); expect(rb"ready")
type("\x03"); expect(rb"% "); type("echo in\"\"ner=$? $TERM $COLORTERM\n")
expect(rb"inner=130 xterm-256color truecolor")
type("test -t 0 -a -t 1 -a -t 2 && tty && exit 7\n"); expect(rb"/dev/pts/"); expect(rb"% ")
type("echo status=$?\n"); expect(rb"status=7\r")
type("exit\n")
os.waitpid(pid, 0)
print("all came")
"#;

#[test]
fn jobs_are_stopped_and_resumed_and_ctrl_c_ends_the_command_alone() {
    let root = Root::with(&[], false);
    root.well(&format!("cat >typist.py <<'EOF'\n{TYPIST}\nEOF"));
    for how in ["pitstop run --with zlib --", "pitstop run --env --with zlib --", "pitstop fhs"] {
        root.well(&format!("{how} true"));
        let said = root.well(&format!("python3.11 typist.py '{how}'"));
        assert!(said.contains("all came"), "{how}: {said}");
    }
}
