//! What cannot be done is said, with the documented status, and leaves nothing behind.

use std::process::Command;

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

/// Starts a program where a folder is a full file system of a few pages.
const FULL: &str = "
import ctypes, os, sys
uid, gid = os.getuid(), os.getgid()
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x10020000) == 0
open('/proc/self/setgroups', 'w').write('deny')
open('/proc/self/uid_map', 'w').write(f'{uid} {uid} 1')
open('/proc/self/gid_map', 'w').write(f'{gid} {gid} 1')
assert libc.mount(b'tmpfs', sys.argv[1].encode(), b'tmpfs', 0, b'size=32k') == 0
try:
    file = os.open(sys.argv[1] + '/filler', os.O_CREAT | os.O_WRONLY)
    for turn in range(100): os.write(file, b' ' * 4096)
    sys.exit('it is never full')
except OSError: pass
os.execvp(sys.argv[2], sys.argv[2:])
";

#[test]
fn a_full_disk_is_named_and_a_full_tmp_is_no_trouble() {
    let root = Root::with(&["numpy==1.26.2"], false);
    root.well(&format!("cat >full.py <<'EOF'{FULL}EOF\nmkdir -p cache state"));
    // Nothing is known yet, and all is found, kept and started.
    for command in ["fhs --with zlib -- ls /usr/lib/libz.so.1", "run -- npenv/bin/python -c 'import numpy'"] {
        root.well(&format!("python3.11 full.py /tmp pitstop {command}"));
    }
    for (variable, folder, command) in [
        ("XDG_CACHE_HOME", "cache", "fhs --with expat -- true"),
        ("XDG_STATE_HOME", "state", "run --with libodbc.so.2 -- true"),
    ] {
        let (code, said) =
            root.sh(&format!("{variable}=$PWD/{folder} python3.11 full.py $PWD/{folder} pitstop {command}"));
        assert_eq!(code, Some(127), "{said}");
        assert!(said.contains("No space left") && said.contains(folder) && said.contains("hint"), "{said}");
    }
    assert_eq!(
        root.well("ls -A cache state; cat /proc/mounts | grep -c /home/user/ || true"),
        "cache:\n\nstate:\n0\n"
    );
}

#[test]
fn five_thousand_packages_are_merged_or_named() {
    let root = Root::with(&[], false);
    root.well(
        "cat >set.nix <<'EOF'\n\
         { ... }: let pkgs = import <nixpkgs> { }; n = builtins.genList (i: i) 5000; in\n\
         pkgs // builtins.listToAttrs (map (i: { name = \"one-of-very-many-packages-${toString i}\"; value = pkgs.zlib // { nr = i; }; }) n)\nEOF",
    );
    let with = "$(for i in $(seq 0 4999); do echo --with one-of-very-many-packages-$i; done)";
    let said = root.well(&format!("pitstop fhs --nixpkgs ./set.nix {with} -- ls /usr/lib/libz.so.1"));
    assert_eq!(said, "/usr/lib/libz.so.1\n");
    let with = "$(for i in $(seq 5000 9999); do echo --with one-of-very-many-packages-$i; done)";
    let (code, said) = root.sh(&format!("pitstop fhs --nixpkgs ./set.nix {with} -- true"));
    assert_eq!(code, Some(127), "{said}");
    assert!(said.contains("one-of-very-many-packages-5000: ") && said.contains("no such package"), "{said}");
}

/// A folder as a network file system has it: another process serves it, by FUSE.
struct Served(tempfile::TempDir);

impl Served {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["server", "client"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let [server, client] = ["server", "client"].map(|name| folder.path().join(name));
        let options = ["--no-allow-other", "-o", "attr_timeout=0,entry_timeout=0"];
        let mounted = Command::new("bindfs").args(options).arg(server).arg(client).status().unwrap();
        assert!(mounted.success());
        Self(folder)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path().join("client")).status();
    }
}

#[test]
fn an_environment_on_a_network_file_system_is_one_like_others() {
    let served = Served::new();
    let root = Root::with_wheels_and(&["numpy==1.26.2"], &served.0.path().join("client"), "/net");
    root.well("cd /net && python3.11 -m venv npenv && npenv/bin/pip install -q --no-index --find-links /wheels/0 numpy");
    assert!(root.well("grep ' /net ' /proc/mounts").contains("fuse"), "it is no such file system");
    let import = "npenv/bin/python -c 'import numpy; print(\"works\")'";
    assert_ne!(root.sh(&format!("cd /net; {import}")).0, Some(0), "it works without help");
    for how in ["run --", "run --env --", "fhs --with ./npenv --"] {
        let said = root.well(&format!("cd /net; pitstop {how} {import}"));
        assert_eq!(said, "works\n", "{how}");
    }
    // What is kept lies there, too.
    root.well("export XDG_CACHE_HOME=/net/cache XDG_STATE_HOME=/net/state; cd /net; pitstop fhs --with zlib true; pitstop run -- npenv/bin/python -c 'import numpy'");
}

#[test]
fn a_signal_at_any_step_ends_it_and_leaves_nothing() {
    let root = Root::with(&[], false);
    root.well("pitstop fhs true; pitstop run --with libz.so.1 true");
    for command in ["fhs true", "run --with libz.so.1 true"] {
        let said = root.well(&format!(
            "state() {{ cat /proc/self/mountinfo; ls -d /proc/[0-9]* | wc -l; find .cache .local -printf '%p %s\\n' | sort; }}\n\
             exec 2>/dev/null\n\
             strace -o trace $(type -P pitstop) {command}; before=$(state)\n\
             calls=($(gawk -F'(' '/^[a-z]/ {{ print $1 \":when=\" ++seen[$1] }}' trace)); signals=(TERM INT HUP); ended=0\n\
             for ((call = 1; call < ${{#calls[@]}} - 1; call += 3)); do\n\
               inject=${{calls[call]/:/:signal=${{signals[call % 9 / 3]}}:}}\n\
               strace -o /dev/null -e inject=$inject $(type -P pitstop) {command} && status=0 || status=$?\n\
               case $status in 129|130|143) ended=$((ended + 1)) ;; *) echo $inject: status $status ;; esac\n\
             done\n\
             test \"$before\" = \"$(state)\" && echo same; echo ended $((ended * 3 >= ${{#calls[@]}} - 9)) $ended"
        ));
        assert!(said.contains("same\nended 1 "), "{command}: {said}");
    }
}

#[test]
fn a_signal_while_packages_are_fetched_ends_those_who_fetch() {
    let root = Root::with(&[], false);
    root.well(
        "cat >set.nix <<'EOF'\n\
         { ... }: let pkgs = import <nixpkgs> { }; in pkgs // { slow = pkgs.runCommand \"slow\" { } \"sleep 1000\"; }\nEOF",
    );
    for kind in ["fhs", "run"] {
        for signal in ["TERM", "INT"] {
            let said = root.well(&format!(
                "set -m; before=$(ls -d /proc/[0-9]* | wc -l)\n\
                 pitstop {kind} --with slow --nixpkgs ./set.nix -- true >said 2>&1 & it=$!\n\
                 until grep -qs nix-store /proc/[0-9]*/comm; do kill -0 $it; done\n\
                 kill -{signal} $it; wait $it && status=0 || status=$?\n\
                 until test $(ls -d /proc/[0-9]* | wc -l) -le $before; do :; done; echo $status; cat said"
            ));
            assert!(said.starts_with("127\n") && said.contains("interrupted"), "{kind}, {signal}: {said}");
        }
    }
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
