//! Libraries that wheels load by name, in the NixOS-like root: each use fails, `pitstop fix`, the library is really used,
//! `pitstop undo`, and it fails again; without the loader shim, and with it.

mod support;

use std::path::Path;

use nixbox::wheels;
use support::{Root, Use, come_to_work, nixbox};

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
