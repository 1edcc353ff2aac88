//! What cannot be done is said, with the documented status, and leaves nothing behind.

use crate::Root;

/// Starts a program where no further user namespace can be made.
const NO_NAMESPACES: &str = "
import ctypes, os, sys
uid, gid = os.getuid(), os.getgid()
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x10000000) == 0
open('/proc/self/setgroups', 'w').write('deny')
open('/proc/self/uid_map', 'w').write(f'{uid} {uid} 1')
open('/proc/self/gid_map', 'w').write(f'{gid} {gid} 1')
open('/proc/sys/user/max_user_namespaces', 'w').write('0')
os.execvp(sys.argv[1], sys.argv[1:])
";

#[test]
fn without_user_namespaces_the_variables_serve_and_one_line_says_so() {
    let root = Root::with(&["numpy==1.26.2"], false);
    root.well(&format!("cat >none.py <<'EOF'{NO_NAMESPACES}EOF"));
    let said =
        root.well("python3.11 none.py pitstop run -- npenv/bin/python -c 'import numpy; print(\"works\")'");
    assert!(said.contains("works"), "{said}");
    let notes: Vec<&str> = said.lines().filter(|line| *line != "works").collect();
    assert_eq!(notes.len(), 1, "{said}");
    assert!(notes[0].contains("user namespaces") && notes[0].contains("LD_LIBRARY_PATH"), "{said}");
    let (code, said) = root.sh("python3.11 none.py pitstop fhs true");
    assert_eq!(code, Some(127), "{said}");
    assert!(said.contains("user namespaces") && said.contains("hint"), "{said}");
}

#[test]
fn what_does_not_exist_is_named() {
    let root = Root::with(&[], false);
    for (command, status, word) in [
        ("fhs --with noSuchPackage true", 127, "noSuchPackage"),
        ("fhs --with ./nowhere true", 127, "nowhere"),
        ("fhs --with libnobody.so.99 true", 127, "libnobody.so.99"),
        ("fhs nosuchcommand", 127, "nosuchcommand"),
        ("fhs /etc/passwd", 126, "passwd"),
        ("run --for ./nowhere -- true", 127, "nowhere"),
        ("run --with libnobody.so.99 -- true", 127, "libnobody.so.99"),
        ("run --with noSuchPackage -- true", 127, "noSuchPackage"),
    ] {
        let (code, said) = root.sh(&format!("pitstop {command}"));
        assert_eq!(code, Some(status), "{command}\n{said}");
        assert!(said.contains("error") && said.contains(word), "{command}\n{said}");
    }
    root.well("mkdir p && printf '[tool.pitstop.fhs]\\npackage = 1\\n' >p/pyproject.toml");
    let (code, said) = root.sh("cd p && pitstop fhs true");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("pyproject.toml"), "{said}");
}

#[test]
fn folders_that_are_full_or_closed_are_named() {
    let root = Root::with(&[], false);
    root.well("pitstop fhs true");
    let (code, said) = root.sh("XDG_CACHE_HOME=/proc/1 pitstop fhs true");
    assert_eq!(code, Some(127), "{said}");
    assert!(said.contains("/proc/1") && said.contains("XDG_CACHE_HOME"), "{said}");
    // A working folder that was taken away; and one that is closed, in which the user is all the same.
    let (code, said) = root.sh("mkdir gone && cd gone && rmdir ../gone && pitstop fhs pwd");
    assert_eq!(code, Some(127), "{said}");
    assert!(said.contains("working folder"), "{said}");
    let said = root.well("mkdir closed && cd closed && chmod 0 . && pitstop fhs pwd");
    assert_eq!(said, "/home/user/closed\n");
}

#[test]
fn nothing_is_left_behind_when_all_is_killed() {
    let root = Root::with(&[], false);
    root.well("pitstop fhs true");
    let said = root.well(
        "state() { cat /proc/self/mountinfo; ls -d /proc/[0-9]* | wc -l; }\n\
         before=$(state)\n\
         mkfifo up; pitstop fhs sh -c 'echo up >up; exec sleep 1000' & read -r line <up\n\
         test \"$(readlink /proc/$!/ns/mnt)\" != \"$(readlink /proc/self/ns/mnt)\"\n\
         kill -9 $!; wait $! 2>/dev/null || true\n\
         for signal in INT TERM HUP KILL; do for turn in 1 2 3 4 5 6 7 8; do\n\
           pitstop fhs sleep 1000 & test $turn = 1 || sleep 0.00$turn; kill -9 $!; wait $! 2>/dev/null || true\n\
         done; done\n\
         after=$(state)\n\
         test \"$before\" = \"$after\" && echo same",
    );
    assert!(said.contains("same"), "{said}");
}
