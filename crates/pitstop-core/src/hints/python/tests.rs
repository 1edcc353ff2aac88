//! The ways in which packages load libraries, each in the shortest words that still show it.

use super::*;

fn found(source: &str) -> Vec<(usize, How, Vec<String>, bool)> {
    let requests = scan(source.as_bytes()).unwrap();
    requests.into_iter().map(|found| (found.line, found.how, found.names, found.certain)).collect()
}

/// The names of the first call.
fn names(source: &str) -> Vec<String> {
    found(source).into_iter().next().map(|(_, _, names, _)| names).unwrap_or_default()
}

#[test]
fn plain_calls_are_found_with_their_lines() {
    let source = "import ctypes\n\nlib = ctypes.CDLL('libmagic.so.1')\npath = ctypes.util.find_library(\"archive\")\n\
        a = cdll.LoadLibrary('libzbar.so.0')\nb = ctypes.cdll['libudev.so.1']\nc = ctypes.PyDLL(name='libx.so.1')\n\
        d = ffi.dlopen('libvips.so.42')\n";
    let all = found(source);
    let of = |line: usize, how, name: &str| (line, how, vec![name.to_owned()], true);
    assert_eq!(
        all,
        [
            of(3, How::Ctypes, "libmagic.so.1"),
            of(4, How::FindLibrary, "archive"),
            of(5, How::Ctypes, "libzbar.so.0"),
            of(6, How::Ctypes, "libudev.so.1"),
            of(7, How::Ctypes, "libx.so.1"),
            of(8, How::Dlopen, "libvips.so.42"),
        ]
    );
}

#[test]
fn names_are_put_together_from_their_parts() {
    let cases: [(&str, &[&str]); 14] = [
        ("for n in ('magic', 'magic1'):\n p = find_library(n)", &["magic", "magic1"]),
        ("V = ['', '-6']\nfor v in V:\n find_library('MagickWand' + v)", &["MagickWand", "MagickWand-6"]),
        ("n = 'usb'\nfind_library(f'{n}-1.0')", &["usb-1.0"]),
        ("find_library('enchant-%d' % 2)", &["enchant-2"]),
        ("CDLL('lib%s.so.%s' % ('vlc', 5))", &["libvlc.so.5"]),
        ("CDLL('lib{}.so.{}'.format('vlc', 5))", &["libvlc.so.5"]),
        ("CDLL('lib{0}.so'.format('opus'))", &["libopus.so"]),
        ("CDLL(os.environ.get('LIBX', 'libarchive.so.13'))", &["libarchive.so.13"]),
        ("CDLL(os.environ.get('LIBX') or 'libarchive.so.13')", &["libarchive.so.13"]),
        ("CDLL({'Linux': 'liba.so.1', 'Darwin': 'liba.dylib'}[platform.system()])", &["liba.so.1"]),
        ("N = {'linux': 'liba.so.1'}\nCDLL(N.get(sys.platform))", &["liba.so.1"]),
        (
            "names = []\nnames.append('liba.so.1')\nnames += ['libb.so.1']\n[CDLL(n) for n in names]",
            &["liba.so.1", "libb.so.1"],
        ),
        ("def load(name='libopus.so.0'):\n return CDLL(name)", &["libopus.so.0"]),
        ("class A:\n name = 'libz.so.1'\n def f(self):\n  return CDLL(self.name)", &["libz.so.1"]),
    ];
    for (source, expected) in cases {
        assert_eq!(names(source), expected, "{source}");
    }
}

#[test]
fn of_platform_branches_linux_is_taken() {
    let cases = [
        "if sys.platform == 'win32':\n n = 'x.dll'\nelif sys.platform == 'darwin':\n n = 'libmac.so'\nelse:\n n = 'liba.so.1'\nCDLL(n)",
        "if platform.system() == 'Windows': CDLL('libwin.so')\nelse: CDLL('liba.so.1')",
        "if os.name == 'nt': CDLL('libwin.so')\nelif os.name == 'posix': CDLL('liba.so.1')",
        "system = platform.system().lower()\nif system in ('linux', 'freebsd'): CDLL('liba.so.1')\nelse: CDLL('libno.so')",
        "WIN = sys.platform.startswith('win')\nif not WIN: CDLL('liba.so.1')\nelse: CDLL('libno.so')",
        "CDLL('libmac.so' if _sys.platform == 'darwin' else 'liba.so.1')",
        "if sys.platform == 'win32' and x: CDLL('libno.so')\nCDLL('liba.so.1')",
    ];
    for source in cases {
        let all: Vec<Vec<String>> = found(source).into_iter().map(|(_, _, names, _)| names).collect();
        assert_eq!(all, [["liba.so.1"]], "{source}");
    }
}

#[test]
fn what_a_module_needs_at_import_is_told_from_what_it_can_miss() {
    let certain = |source: &str| found(source)[0].3;
    assert!(certain("CDLL('liba.so.1')"));
    assert!(certain("try:\n CDLL('liba.so.1')\nexcept OSError:\n raise ImportError('install a')"));
    assert!(certain("def load():\n return CDLL('liba.so.1')\nlib = load()"));
    assert!(!certain("def load():\n return CDLL('liba.so.1')"));
    assert!(!certain("try:\n CDLL('liba.so.1')\nexcept OSError:\n lib = None"));
    assert!(!certain("with contextlib.suppress(OSError):\n CDLL('liba.so.1')"));
    assert!(!certain("if __name__ == '__main__':\n CDLL('liba.so.1')"));
    assert!(!certain("get = lambda: CDLL('liba.so.1')"));
}

#[test]
fn functions_that_lead_to_a_loader_are_seen_by_their_calls() {
    let own = "def _dlopen(ffi, *names):\n for name in names:\n  with suppress(OSError):\n   return ffi.dlopen(name)\n\
        pango = _dlopen(\n    ffi, 'libpango-1.0-0', 'pango-1.0', 'libpango-1.0.so.0', 'libpango-1.0.dylib')\n\
        maybe = _dlopen(ffi, 'libharfbuzz-subset.so.0', allow_fail=True)\n";
    let all = found(own);
    let names = ["libpango-1.0-0", "pango-1.0", "libpango-1.0.so.0"].map(str::to_owned).to_vec();
    assert_eq!(all[0], (5, How::Wrapper, names, true));
    assert!(!all[1].3, "it may fail");
    let foreign = "from usb import libloader\ndef _load():\n return libloader.load_locate_library(('usb-1.0', 'usb'), 'cyg.dll', 'Libusb 1')\n";
    assert_eq!(found(foreign)[0].2, ["usb-1.0", "usb"]);
}

#[test]
fn what_is_no_name_of_a_library_is_not_taken_for_one() {
    for source in [
        "CDLL(None)",
        "CDLL(os.path.join(here, 'libown.so'))",
        "CDLL(here + '/libown.so')",
        "CDLL(f'{here}/libown.so')",
        "CDLL(str(Path(__file__).parent / 'libown.so'))",
        "ctypes.windll.LoadLibrary('kernel32')",
        "CDLL('user32.dll')",
        "CDLL(argument)",
        "a = b\nb = a\nCDLL(a)",
        "def f():\n '''ctypes.CDLL(\"libdoc.so.1\")'''\n",
    ] {
        assert_eq!(found(source), [], "{source}");
    }
}

#[test]
fn files_of_any_kind_cost_little_and_are_never_an_error() {
    assert_eq!(scan(b"print 'CDLL'"), Err(Unparsed::Syntax));
    assert_eq!(scan(&[0xff, 0xfe, b'C', 0, b'D', 0]), Err(Unparsed::Syntax));
    assert_eq!(scan(&vec![b'a'; 50 << 20]), Err(Unparsed::TooLarge));
    assert_eq!(scan(b"# -*- coding: latin-1 -*-\nn = '\xe9'\nCDLL('liba.so.1')\n").unwrap()[0].line, 3);
    assert_eq!(scan(b"\xef\xbb\xbfCDLL('liba.so.1')").unwrap().len(), 1);
    assert_eq!(scan(b"\0CDLL('liba.so.1')").ok(), None);
    let many: String = (0..60_000).map(|number| format!("{{x{number}}}")).collect();
    assert_eq!(
        scan(format!("a = f'{many}'\nCDLL(a)\nCDLL('liba.so.1')").as_bytes()).unwrap_or_default().len(),
        1
    );
    for nest in ["(", "-", "f'{", "1+", "lambda: ", "a.", "x[0"] {
        let source = format!("CDLL({}1)", nest.repeat(200_000));
        assert!(matches!(scan(source.as_bytes()), Err(Unparsed::TooDeep | Unparsed::TooLarge)), "{nest}");
    }
}

#[test]
fn only_files_with_a_word_for_it_are_parsed() {
    assert!(worth_scanning(b"x = ctypes.CDLL"));
    assert!(!worth_scanning(b"import numpy\n"));
}
