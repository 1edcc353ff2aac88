//! Libraries that wheels load by name, in the NixOS-like root: each use fails, `pitstop fix`, the library is really used,
//! `pitstop undo`, and it fails again; without the loader shim, and with it.
#![expect(clippy::unwrap_used, reason = "helpers of a test stop at the first surprise, like tests")]

mod support;

use std::path::Path;

use nixbox::wheels;
use support::{Root, Use, come_to_work, nixbox, pitstop};

/// A picture of two pixels.
const PNG: &str = r#"
import struct, zlib
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)) \
    + chunk(b"IDAT", zlib.compress(b"\0" + b"\xff\0\0" + b"\0\xff\0")) + chunk(b"IEND", b"")
"#;

#[test]
fn ctypes_packages_use_the_libraries_that_they_find_by_name() {
    let root = Root::with(&["python-magic", "pyzbar", "pillow", "pyusb", "libarchive-c", "pyudev"]);
    let uses = [
        Use {
            variables: "",
            code: "open('m', 'w').write('0\\tstring\\t%PDF\\tPDF document\\n'); import magic; assert magic.Magic(magic_file='m').from_buffer(b'%PDF-1.4') == 'PDF document'",
            fails: "failed to find libmagic",
        },
        Use {
            variables: "",
            code: "from PIL import Image; from pyzbar.pyzbar import decode; assert decode(Image.new('L', (64, 64))) == []",
            fails: "cannot open shared object file",
        },
        Use {
            variables: "",
            code: "import usb.core, usb.backend.libusb1 as b; assert b.get_backend() is not None; list(usb.core.find(find_all=True))",
            fails: "AssertionError",
        },
        Use {
            variables: "",
            code: "import io, libarchive\nwith libarchive.file_writer('x.tar', 'gnutar') as a: a.add_file_from_memory('f', 2, b'hi')\n\
                 with libarchive.file_reader('x.tar') as a: assert [e.pathname for e in a] == ['f']",
            fails: "archive",
        },
        Use { variables: "", code: "import pyudev; assert pyudev.Context()", fails: "udev" },
    ];
    come_to_work(&root, &uses, "");
}

#[test]
fn sound_and_spelling_use_the_libraries_that_they_find_by_name() {
    let root = Root::with(&["sounddevice", "soundfile", "pyenchant"]);
    // A device that is on every machine. Without this file alsa-lib reads one below /usr, where Debian has it.
    root.sh("echo 'pcm.!default { type null }' > asound.conf");
    let uses = [
        Use {
            variables: "ALSA_CONFIG_PATH=$PWD/asound.conf",
            code: "import sounddevice as s; assert [d['name'] for d in s.query_devices()] == ['default'], s.query_devices(); s.RawOutputStream(8000, channels=1).close()",
            fails: "PortAudio library not found",
        },
        Use {
            variables: "",
            code: "import soundfile, numpy, io; f = io.BytesIO(); soundfile.write(f, numpy.zeros(4), 8000, format='WAV'); f.seek(0); assert soundfile.read(f)[1] == 8000",
            fails: "cannot open shared object file",
        },
        Use {
            variables: "",
            code: "import enchant; open('w', 'w').write('hello\\n'); d = enchant.request_pwl_dict('w'); assert d.check('hello') and not d.check('helo')",
            fails: "The 'enchant' C library was not found",
        },
    ];
    come_to_work(&root, &uses, "");
}

#[test]
fn cffi_packages_use_the_libraries_that_they_open_by_name() {
    let root = Root::with(&["cairocffi", "weasyprint"]);
    let uses = [
        Use {
            variables: "",
            code: "import cairocffi as c, io; s = c.ImageSurface(c.FORMAT_ARGB32, 4, 4); c.Context(s).paint(); b = io.BytesIO(); s.write_to_png(b); assert b.getvalue()[1:4] == b\"PNG\"",
            fails: "no library called \"cairo-2\" was found",
        },
        Use {
            variables: "",
            code: "import weasyprint; assert weasyprint.HTML(string=\"<svg width=9 height=9><rect width=9 height=9/></svg>\").write_pdf()[:4] == b\"%PDF\"",
            fails: "cannot open shared object file",
        },
    ];
    come_to_work(&root, &uses, "");
}

/// pyvips has no wheel that works: pip builds one, which opens libvips by name where no compiler is at hand.
#[test]
fn pyvips_computes_with_the_library_that_it_opens() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
    let source =
        wheels::download_all(&["pyvips==3.2.0"], &["--no-deps", "--no-binary=pyvips"], "3.11", &cache)
            .unwrap_or_else(|error| panic!("{error}"));
    let root =
        Root::in_machine(nixbox().machine().bind(source, "/source", false), &["cffi", "pkgconfig", "wheel"]);
    root.sh("v/bin/pip install -q --no-compile --no-index --no-deps --no-build-isolation /source/pyvips-3.2.0.tar.gz");
    let uses = [Use {
        variables: "",
        code: "import pyvips; i = pyvips.Image.new_from_array([[1, 2], [3, 4]]); assert i.avg() == 2.5 and not pyvips.API_mode; assert i.cast('uchar').pngsave_buffer()[1:4] == b'PNG'",
        fails: "libvips.so.42: cannot open shared object file",
    }];
    come_to_work(&root, &uses, "");
}

/// Debian's ImageMagick loads its coders from a path below `/usr`, which is no part of this machine; nixpkgs' does not.
#[test]
fn wand_reads_a_png() {
    let root = Root::with(&["Wand"]);
    let code = format!(
        "{PNG}\nfrom wand.image import Image\nwith Image(blob=png) as i: assert i.size == (2, 1), i.size; assert i[0, 0].red == 1 and i[1, 0].green == 1"
    );
    let uses = [Use {
        variables: "MAGICK_CODER_MODULE_PATH=$(echo $(grep -o '/nix/store/[^\"]*/lib/libMagickWand' v/.pitstop/provided.json | xargs dirname)/ImageMagick-*/modules-*/coders)",
        code: code.leak(),
        fails: "MagickWand shared library not found",
    }];
    come_to_work(&root, &uses, "");
}

#[test]
fn graphics_packages_open_the_libraries_of_the_dispatch() {
    let root = Root::with(&["PyOpenGL", "moderngl", "glfw", "numpy"]);
    let uses = [
        Use {
            variables: "",
            // Without a context the dispatcher answers, and says nothing.
            code: "from OpenGL import GL; assert GL.glGetString(GL.GL_VERSION) is None",
            fails: "OpenGL",
        },
        Use {
            variables: "",
            code: "import moderngl, glcontext; from glcontext import x11; assert glcontext.default_backend()",
            fails: "cannot open shared object file",
        },
        Use {
            variables: "",
            code: "import glfw, ctypes; glfw.set_error_callback(lambda code, words: print(words)); glfw.init(); assert any('libX11.so.6' in line for line in open('/proc/self/maps'))",
            fails: "AssertionError",
        },
    ];
    come_to_work(&root, &uses, "");
}

#[test]
fn what_packages_can_do_without_is_listed_apart_and_provided_when_asked_for() {
    let root = Root::with(&["pygame"]);
    let alsa = "import pygame; pygame.mixer.init(); print(1)";
    let loaded = "import pygame; assert any('libasound.so.2' in line for line in open('/proc/self/maps'))";
    root.pitstop("fix v", 0);
    let said = root.pitstop("check v", 0);
    assert!(said.contains("libGL.so.1") && said.contains("pitstop fix --optional"), "{said}");
    root.python("", loaded).expect_err("nobody asked for it");
    root.pitstop("fix --optional v", 0);
    root.python("", loaded).unwrap();
    root.python("SDL_VIDEODRIVER=dummy SDL_AUDIODRIVER=dummy", alsa).unwrap();
    root.pitstop("undo v", 0);
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
fn machine_with_a_driver(has_driver: bool) -> (tempfile::TempDir, Root) {
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
    let mut machine = nixbox().machine().bind(made, "/made", false);
    if has_driver {
        machine = machine.bind(driver, "/run/opengl-driver", false);
    }
    let root = Root::in_machine(machine, &[]);
    root.sh(WHEEL_FOR_A_DRIVER);
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
    let said = root.pitstop("check v", 1);
    assert!(said.contains("the GPU driver of this machine"), "{said}");
    let said = root.pitstop("fix v", 0);
    assert!(said.contains("/run/opengl-driver/lib/libcuda.so.1"), "{said}");
    for code in uses {
        root.python("", code).unwrap_or_else(|error| panic!("{code}\n{said}\n{error}"));
    }
    let said = root.pitstop("doctor", 0);
    assert!(said.contains("/run/opengl-driver/lib"), "{said}");
    assert!(said.contains("/run/opengl-driver/share/glvnd/egl_vendor.d/10_nvidia.json"), "{said}");
    root.pitstop("undo v", 0);
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
        once(&root.pitstop(command, 0));
    }
    let json = root.sh(&format!("{} check --json v", pitstop().display()));
    assert!(json.contains("\"missing\": []"), "{json}");
    let said = root.pitstop("fix --quiet v", 0);
    assert!(said.is_empty(), "{said}");
}

#[test]
fn a_shell_hook_fixes_the_environment_before_the_shell_starts() {
    let root = Root::with(&["python-magic"]);
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
