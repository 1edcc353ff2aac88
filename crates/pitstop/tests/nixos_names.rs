//! Libraries that wheels load by name, in the NixOS-like root: each use fails, `pitstop fix`, the library is really used,
//! `pitstop undo`, and it fails again.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nixbox::{Machine, Nixbox, wheels};

fn nixbox() -> &'static Nixbox {
    static OPENED: OnceLock<Nixbox> = OnceLock::new();
    OPENED.get_or_init(|| Nixbox::open(&mut |_| {}).unwrap_or_else(|error| panic!("{error}")))
}

/// The command, made to start inside the root.
fn pitstop() -> &'static Path {
    static ADOPTED: OnceLock<PathBuf> = OnceLock::new();
    ADOPTED.get_or_init(|| nixbox().adopt(Path::new(env!("CARGO_BIN_EXE_pitstop"))).unwrap())
}

struct Box {
    machine: Machine<'static>,
}

impl Box {
    fn with(requirements: &[&str]) -> Self {
        pitstop();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        let mut machine = nixbox().machine();
        let mut install = String::from("python3.11 -m venv v\n");
        for (number, requirement) in requirements.iter().enumerate() {
            let folder =
                wheels::download(requirement, "3.11", &cache).unwrap_or_else(|error| panic!("{error}"));
            machine = machine.bind(folder, format!("/wheels/{number}"), false);
            install +=
                &format!("v/bin/pip install -q --no-index --find-links /wheels/{number} '{requirement}'\n");
        }
        let this = Self { machine: machine.start().unwrap() };
        this.sh(&install);
        this
    }

    fn sh(&self, script: &str) -> String {
        let ran = self.machine.sh(script).unwrap();
        assert!(ran.ok, "{script}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    fn pitstop(&self, arguments: &str) -> (Option<i32>, String) {
        let ran = self.machine.sh(&format!("{} {arguments}", pitstop().display())).unwrap();
        (ran.code, format!("{}{}", ran.stdout, ran.stderr))
    }

    /// Runs Python code with no variable set but those named.
    fn python(&self, variables: &str, code: &str) -> Result<String, String> {
        let quoted = code.replace('\'', "'\\''");
        let ran = self.machine.sh(&format!("env -i {variables} v/bin/python -B -c '{quoted}'")).unwrap();
        if ran.ok { Ok(ran.stdout) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
    }
}

/// The whole way for packages in one environment: each piece of code fails before and after, and works in between.
fn come_to_work(requirements: &[&str], uses: &[(&str, &str)], fix: &str) {
    let root = Box::with(requirements);
    for (variables, code) in uses {
        root.python(variables, code).expect_err("it works without a fix, so this test shows nothing");
    }
    let (status, said) = root.pitstop("check v");
    assert_eq!(status, Some(1), "{said}");
    let (status, said) = root.pitstop(&format!("fix {fix} v"));
    assert_eq!(status, Some(0), "{said}");
    for (variables, code) in uses {
        if let Err(error) = root.python(variables, code) {
            panic!("{code}\n{said}\n{error}");
        }
    }
    let (status, said) = root.pitstop("check v");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = root.pitstop("undo v");
    assert_eq!(status, Some(0), "{said}");
    for (variables, code) in uses {
        root.python(variables, code).expect_err("it still works after undo");
    }
}

#[test]
fn ctypes_packages_use_the_libraries_that_they_find_by_name() {
    come_to_work(
        &["python-magic", "pyzbar", "pillow", "pyusb", "libarchive-c", "pyudev"],
        &[
            (
                "",
                "open('m', 'w').write('0\\tstring\\t%PDF\\tPDF document\\n'); import magic; assert magic.Magic(magic_file='m').from_buffer(b'%PDF-1.4') == 'PDF document'",
            ),
            (
                "",
                "from PIL import Image; from pyzbar.pyzbar import decode; assert decode(Image.new('L', (64, 64))) == []",
            ),
            ("", "import usb.backend.libusb1 as b; assert b.get_backend() is not None"),
            (
                "",
                "import io, libarchive\nwith libarchive.file_writer('x.tar', 'gnutar') as a: a.add_file_from_memory('f', 2, b'hi')\n\
                 with libarchive.file_reader('x.tar') as a: assert [e.pathname for e in a] == ['f']",
            ),
            ("", "import pyudev; assert pyudev.Context()"),
        ],
        "",
    );
}

#[test]
fn cffi_packages_use_the_libraries_that_they_open_by_name() {
    come_to_work(
        &["cairocffi", "weasyprint"],
        &[
            (
                "",
                "import cairocffi as c, io; s = c.ImageSurface(c.FORMAT_ARGB32, 4, 4); c.Context(s).paint(); b = io.BytesIO(); s.write_to_png(b); assert b.getvalue()[1:4] == b\"PNG\"",
            ),
            (
                "",
                "import weasyprint; assert weasyprint.HTML(string=\"<svg width=9 height=9><rect width=9 height=9/></svg>\").write_pdf()[:4] == b\"%PDF\"",
            ),
        ],
        "",
    );
}

#[test]
fn graphics_packages_open_the_libraries_of_the_dispatch() {
    come_to_work(
        &["PyOpenGL", "moderngl", "glfw", "numpy"],
        &[
            ("", "from OpenGL import GL; assert GL.glGetString"),
            ("", "import moderngl, glcontext; from glcontext import x11; assert glcontext.default_backend()"),
            (
                "",
                "import glfw, ctypes; glfw.set_error_callback(lambda code, words: print(words)); glfw.init(); assert any('libX11.so.6' in line for line in open('/proc/self/maps'))",
            ),
        ],
        "",
    );
}

#[test]
fn the_spell_checker_and_the_library_that_pyvips_opens_work() {
    come_to_work(
        &["pyenchant", "pyvips"],
        &[
            ("", "import enchant; assert enchant.get_enchant_version()"),
            (
                "",
                "import cffi; f = cffi.FFI(); f.cdef('int vips_version(int);'); assert f.dlopen('libvips.so.42').vips_version(0) == 8",
            ),
        ],
        "",
    );
}

#[test]
fn what_packages_can_do_without_is_listed_apart_and_provided_when_asked_for() {
    let root = Box::with(&["pygame"]);
    let alsa = "import pygame; pygame.mixer.init(); print(1)";
    let loaded = "import pygame; assert any('libasound.so.2' in line for line in open('/proc/self/maps'))";
    let (status, said) = root.pitstop("fix v");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = root.pitstop("check v");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("libGL.so.1") && said.contains("pitstop fix --optional"), "{said}");
    root.python("", loaded).expect_err("nobody asked for it");
    let (status, said) = root.pitstop("fix --optional v");
    assert_eq!(status, Some(0), "{said}");
    root.python("", loaded).unwrap();
    root.python("SDL_VIDEODRIVER=dummy SDL_AUDIODRIVER=dummy", alsa).unwrap();
    let (status, said) = root.pitstop("undo v");
    assert_eq!(status, Some(0), "{said}");
    root.python("", loaded).expect_err("it still works after undo");
}

/// Makes and installs a package that asks for the GPU driver: a module that is linked to it, and names in its code.
const WHEEL_FOR_A_DRIVER: &str = r"
cat > make.py <<'END'
import zipfile
with zipfile.ZipFile('cudish-1-py3-none-any.whl', 'w') as z:
    z.writestr('cudish/__init__.py', '''
import ctypes
def devices():
    return ctypes.CDLL('libcuda.so.1').pst_devices()
def watched():
    return ctypes.CDLL('libnvidia-ml.so.1')
''')
    z.write('/made/_linked.so', 'cudish/_linked.abi3.so')
    z.writestr('cudish-1.dist-info/METADATA', 'Metadata-Version: 2.1\nName: cudish\nVersion: 1\n')
    z.writestr('cudish-1.dist-info/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    z.writestr('cudish-1.dist-info/RECORD', '')
END
v/bin/python make.py; v/bin/pip install -q --no-index ./cudish-1-py3-none-any.whl
";

/// A folder with a made driver, a module that is linked to it, and a machine that has the module, and the driver if asked.
fn machine_with_a_driver(has_driver: bool) -> (tempfile::TempDir, Box) {
    let folder = tempfile::tempdir().unwrap();
    let (driver, made) = (folder.path().join("driver"), folder.path().join("made"));
    for folder in [driver.join("lib"), driver.join("share/glvnd/egl_vendor.d"), made.clone()] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(driver.join("share/glvnd/egl_vendor.d/10_nvidia.json"), "{}").unwrap();
    let gcc = |code: &str, output: &Path, words: &[&str]| {
        let source = folder.path().join("code.c");
        std::fs::write(&source, code).unwrap();
        let mut gcc = std::process::Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-nostdlib", "-o"]).arg(output).arg(&source).args(words);
        assert!(gcc.status().unwrap().success());
    };
    let library = driver.join("lib/libcuda.so.1");
    gcc("int pst_devices(void) { return 7; }", &library, &["-Wl,-soname,libcuda.so.1"]);
    gcc("", &driver.join("lib/libnvidia-ml.so.1"), &["-Wl,-soname,libnvidia-ml.so.1"]);
    let module =
        "int pst_devices(void); void *PyInit__linked(void) { return 0 * pst_devices() + (char *) 0; }";
    gcc(module, &made.join("_linked.so"), &["-Wl,--no-as-needed", library.to_str().unwrap()]);
    pitstop();
    let mut machine = nixbox().machine().bind(made, "/made", false);
    if has_driver {
        machine = machine.bind(driver, "/run/opengl-driver", false);
    }
    let root = Box { machine: machine.start().unwrap() };
    root.sh(&format!("python3.11 -m venv v\n{WHEEL_FOR_A_DRIVER}"));
    (folder, root)
}

#[test]
fn libraries_of_the_driver_come_from_the_drivers_folder() {
    let (_folder, root) = machine_with_a_driver(true);
    let uses = [
        "import cudish; assert cudish.devices() == 7; assert any('/libcuda.so.1' in l for l in open('/proc/self/maps'))",
        "import cudish; cudish.watched()",
    ];
    for code in uses {
        root.python("", code).expect_err("it works without a fix, so this test shows nothing");
    }
    let (status, said) = root.pitstop("check v");
    assert!(status == Some(1) && said.contains("the GPU driver of this machine"), "{said}");
    let (status, said) = root.pitstop("fix v");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("/run/opengl-driver/lib/libcuda.so.1"), "{said}");
    for code in uses {
        root.python("", code).unwrap_or_else(|error| panic!("{code}\n{said}\n{error}"));
    }
    let (status, said) = root.pitstop("doctor");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("/run/opengl-driver/lib"), "{said}");
    assert!(said.contains("/run/opengl-driver/share/glvnd/egl_vendor.d/10_nvidia.json"), "{said}");
    let (status, said) = root.pitstop("undo v");
    assert_eq!(status, Some(0), "{said}");
    root.python("", uses[0]).expect_err("it still works after undo");
}

#[test]
fn without_a_driver_that_is_a_note_and_no_failure() {
    let (_folder, root) = machine_with_a_driver(false);
    let once = |said: &str| {
        assert_eq!(said.matches("no GPU driver").count(), 1, "{said}");
        assert!(said.contains("libcuda.so.1 and libnvidia-ml.so.1"), "{said}");
        assert!(!said.contains("could not be provided") && !said.contains("error"), "{said}");
    };
    for command in ["check v", "fix v", "fix --optional v"] {
        let (status, said) = root.pitstop(command);
        assert_eq!(status, Some(0), "{command}: {said}");
        once(&said);
    }
    let json = root.sh(&format!("{} check --json v", pitstop().display()));
    assert!(json.contains("\"missing\": []"), "{json}");
    let (status, said) = root.pitstop("fix --quiet v");
    assert!(status == Some(0) && said.is_empty(), "{said}");
}

#[test]
fn a_shell_hook_fixes_the_environment_before_the_shell_starts() {
    let root = Box::with(&["python-magic"]);
    let hook = "{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell { shellHook = \"pitstop fix --quiet v\"; }";
    std::fs::write(root.machine.home().join("shell.nix"), hook).unwrap();
    root.sh(&format!("mkdir own; ln -s {} own/pitstop", pitstop().display()));
    let code = "import magic";
    root.python("", code).expect_err("it works without a fix, so this test shows nothing");
    let shell = format!("PATH=$PWD/own:$PATH nix-shell --run 'v/bin/python -B -c \"{code}; print(4)\"' 2>&1");
    assert!(root.sh(&shell).ends_with("4\n"));
    root.python("", code).unwrap();
    let said = root.sh(&shell);
    assert!(!said.contains("pitstop"), "{said}");
}
