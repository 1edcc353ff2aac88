//! What is written in ten situations stands in `golden/`, and is as nixfmt writes it.

use std::collections::BTreeSet;

use super::*;
use crate::locate;

fn library(attributes: &[&str], sonames: &[&str], needed_by: &[&str]) -> Library {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Library { attributes: owned(attributes), sonames: owned(sonames), needed_by: owned(needed_by) }
}

/// An environment that lacks nothing.
fn whole() -> Shell {
    Shell {
        form: Form::Nix,
        command: "shell".to_owned(),
        environment: ".venv".to_owned(),
        is_venv: true,
        python: attributes_of_python("3.11.7", "cpython", false),
        libraries: Vec::new(),
        present: Vec::new(),
        drivers: Vec::new(),
        absent: Vec::new(),
        ld_library_path: false,
        optional: false,
    }
}

fn lacking() -> Shell {
    let libraries = vec![
        library(&["libGL", "libglvnd"], &["libGL.so.1"], &["opencv-python"]),
        library(&["stdenv.cc.cc.lib"], &["libstdc++.so.6", "libgcc_s.so.1"], &["pandas", "ruff"]),
    ];
    Shell { libraries, present: vec!["libz.so.1 for numpy, pandas".to_owned()], ..whole() }
}

/// Holds a shell against what stands in `golden/`, and that against nixfmt.
fn golden(name: &str, expected: &str, shell: &Shell) {
    let text = shell.text();
    assert_eq!(nixfmt_rs::format(&text).unwrap(), text, "{name}: not as nixfmt writes it");
    assert_eq!(text, expected, "{name}");
    assert!(super::super::is_ours(text.as_bytes()), "{name}");
    assert_eq!(super::super::written_by(&text), Some(shell.command.as_str()), "{name}");
    assert_eq!(shell.text(), text, "{name}: not twice the same");
}

macro_rules! golden {
    ($($name:ident: $shell:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let file = concat!(stringify!($name), ".nix");
                golden(file, include_str!(concat!("golden/", stringify!($name), ".nix")), &$shell);
            }
        )*
    };
}

golden! {
    nothing_is_missing: whole();
    libraries_are_listed: lacking();
    a_library_path_is_set: Shell {
        ld_library_path: true, command: "shell --ld-library-path".to_owned(), ..lacking()
    };
    a_flake_has_both_systems: Shell { form: Form::Flake, command: "shell --flake".to_owned(), ..lacking() };
    a_module_has_the_libraries: Shell { form: Form::Module, command: "shell --module".to_owned(), ..lacking() };
    a_driver_has_its_own_folder: Shell {
        libraries: vec![library(&["zlib"], &["libz.so.1"], &["torch"])],
        drivers: vec!["libcuda.so.1 for torch".to_owned()], ..whole()
    };
    what_nobody_has_is_said: Shell {
        absent: vec!["libmadeup.so.3 for asks".to_owned(), "libother.so for asks, more".to_owned()], ..lacking()
    };
    many_packages_need_one_library: Shell {
        libraries: vec![library(
            &["libx11", "xorg.libX11"],
            &["libX11.so.6", "libX11-xcb.so.1"],
            &["PyQt6-Qt6", "PySide6-Essentials", "bokeh-with-a-long-name", "matplotlib", "opencv-python", "vtk"],
        )], ..whole()
    };
    the_environment_lies_elsewhere: Shell {
        environment: "/home/a b/env's '${x}''s".to_owned(), command: "shell '/home/a b/x'".to_owned(), ..lacking()
    };
    a_site_packages_folder_is_no_venv: Shell {
        form: Form::Flake,
        is_venv: false, optional: true, environment: "site-packages".to_owned(),
        command: "shell --flake --optional site-packages".to_owned(),
        python: attributes_of_python("3.13.1", "cpython", true), ..lacking()
    };
}

#[test]
fn a_python_has_its_name_in_nixpkgs_and_the_nearest() {
    let names = |version, implementation, free| attributes_of_python(version, implementation, free).join(" ");
    assert_eq!(names("3.11.7", "cpython", false), "python311 python3");
    assert_eq!(names("3.9", "cpython", false), "python39 python3");
    assert_eq!(names("3.14.0", "cpython", true), "python314FreeThreading python3");
    assert_eq!(names("3.10.14", "pypy", false), "pypy310 pypy3");
    for odd in ["", "3", "3.", "x.y", "3.1x"] {
        assert_eq!(names(odd, "cpython", false), "python3", "{odd}");
    }
}

#[test]
fn every_package_of_the_table_is_written_as_nixfmt_writes_it() {
    let mut attributes = BTreeSet::new();
    for soname in locate::sonames() {
        attributes.extend(locate::locate(soname).nix().map(|(name, _)| name.to_owned()));
    }
    assert!(attributes.len() > 300, "{}", attributes.len());
    let libraries = attributes.iter().map(|attribute| {
        let names = locate::names(attribute);
        library(&names, &["libx.so.1"], &["a", "b"])
    });
    for form in [Form::Nix, Form::Flake, Form::Module] {
        let text = Shell { form, libraries: libraries.clone().collect(), ..whole() }.text();
        assert_eq!(nixfmt_rs::format(&text).unwrap(), text);
    }
}

#[test]
fn what_a_package_is_called_cannot_end_a_comment_or_a_string() {
    let hostile = "x\n}; evil = ''${builtins.abort \"x\"}''\r\u{85}*/";
    let shell = Shell {
        command: format!("shell `{hostile}"),
        environment: hostile.to_owned(),
        libraries: vec![library(&["a.${b}.with.\"c", "\n", "1d", ""], &[hostile], &[hostile])],
        present: vec![hostile.to_owned()],
        absent: vec![hostile.to_owned()],
        ..whole()
    };
    for form in [Form::Nix, Form::Flake, Form::Module] {
        let text = Shell { form, ..shell.clone() }.text();
        assert_eq!(nixfmt_rs::format(&text).unwrap(), text);
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in code.filter(|line| line.contains("${builtins.abort")) {
            assert!(line.contains("''${builtins.abort"), "{line}");
        }
        let list = r#"(pkgs.a."\${b}"."with"."\"c" or pkgs."\n" or pkgs."1d" or pkgs."")"#;
        assert!(text.contains(list), "{text}");
    }
}

#[test]
fn words_that_are_too_long_for_a_line_stand_above_in_lines_that_are_not() {
    let names: Vec<String> = (0..40).map(|number| format!("package-{number}")).collect();
    let needed_by: Vec<&str> = names.iter().map(String::as_str).collect();
    let shell = Shell { libraries: vec![library(&["zlib"], &["libz.so.1"], &needed_by)], ..whole() };
    let text = shell.text();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
}
