//! The shell that an environment wants, as `shell.nix`, as `flake.nix`, or as a NixOS module with its libraries.

use super::print::{Entry, Expr, file, first_of, plain, string, with_words, wrapped};
use super::{head, shell_word};

/// Where NixOS keeps the libraries of the GPU driver in use.
const DRIVERS: &str = "/run/opengl-driver/lib";

/// What kind of file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `shell.nix`, for nix-shell.
    #[default]
    Nix,
    /// `flake.nix`, for `nix develop`.
    Flake,
    /// A module for a NixOS or home-manager configuration: the libraries, for all programs of the machine.
    Module,
}

/// A package, and why it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its names in nixpkgs: the first that a release has is taken. Not empty.
    pub attributes: Vec<String>,
    /// Which of its libraries are needed.
    pub sonames: Vec<String>,
    /// The packages and programs that need them.
    pub needed_by: Vec<String>,
}

/// What is known of an environment, as far as a shell depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    /// What is written.
    pub form: Form,
    /// The command that writes it, without `pitstop`.
    pub command: String,
    /// The environment: a path from where the file lies, or an absolute one.
    pub environment: String,
    /// Whether it can be activated; else it is a bare site-packages folder.
    pub is_venv: bool,
    /// The names in nixpkgs of its Python, as [`Library::attributes`].
    pub python: Vec<String>,
    /// What it lacks, in the order in which it is to be listed.
    pub libraries: Vec<Library>,
    /// What its Python brings, and the wheels of the environment each other: in words, `libz.so.1 for numpy`.
    pub present: Vec<String>,
    /// What comes with the GPU driver, in the same words.
    pub drivers: Vec<String>,
    /// What no package of nixpkgs is known to have, in the same words.
    pub absent: Vec<String>,
    /// Whether `LD_LIBRARY_PATH` is set, rather than the environment fixed.
    pub ld_library_path: bool,
    /// Whether `libraries` has what packages can do without.
    pub optional: bool,
}

/// The names in nixpkgs of a Python: `version` with two parts at least, `cpython` or another implementation's name, and
/// whether it is a build without the global lock. Another one has to do where that one is not there.
#[must_use]
pub fn attributes_of_python(version: &str, implementation: &str, free_threaded: bool) -> Vec<String> {
    let mut parts = version.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|letter| letter.is_ascii_digit());
    let own = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) if is_number(major) && is_number(minor) => match implementation {
            "pypy" => Some(format!("pypy{major}{minor}")),
            _ if free_threaded => Some(format!("python{major}{minor}FreeThreading")),
            _ => Some(format!("python{major}{minor}")),
        },
        _ => None,
    };
    let nearest = if implementation == "pypy" { "pypy3" } else { "python3" };
    own.into_iter().chain([nearest.to_owned()]).collect()
}

impl Shell {
    /// The file.
    #[must_use]
    pub fn text(&self) -> String {
        let expression = match self.form {
            Form::Nix => {
                let argument = "pkgs ? import <nixpkgs> { }".to_owned();
                Expr::Function(vec![argument], Box::new(self.with_libraries(Vec::new(), 2, self.shell(2))))
            }
            Form::Flake => self.flake(),
            Form::Module => self.module(),
        };
        file(&self.head(), &expression)
    }

    fn head(&self) -> Vec<String> {
        let mut lines = head(&self.command);
        let mut facts = vec![match self.form {
            Form::Module => "In the configuration: imports = [ ./pitstop.nix ];".to_owned(),
            Form::Nix | Form::Flake => format!("The environment: {}", self.environment),
        }];
        let lists = [
            ("Its Python, or another of its wheels, has ", &self.present),
            ("The machine's GPU driver has ", &self.drivers),
            ("No package of nixpkgs is known to have ", &self.absent),
        ];
        for (words, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            facts.push(format!("{words}{}.", list.join("; ")));
        }
        lines.push(String::new());
        lines.extend(facts.iter().flat_map(|fact| wrapped(fact, 0)));
        lines
    }

    /// The list of packages; `indent` is that of its elements.
    fn libraries(&self, indent: usize) -> Expr {
        let element = |library: &Library| {
            let words = format!("{} for {}", library.sonames.join(", "), library.needed_by.join(", "));
            with_words(Entry::element(first_of(&library.attributes)), &words, indent)
        };
        Expr::List(self.libraries.iter().map(element).collect())
    }

    /// What names the list of packages first, where there are any. `indent` is that of the names.
    fn with_libraries(&self, mut before: Vec<Entry>, indent: usize, body: Expr) -> Expr {
        if !self.libraries.is_empty() {
            before.push(Entry::binding("libraries", self.libraries(indent + 2)));
        }
        if before.is_empty() { body } else { Expr::Let(before, Box::new(body)) }
    }

    /// The call of mkShell; `indent` is that of what it has.
    fn shell(&self, indent: usize) -> Expr {
        let packages = Expr::List(vec![Entry::element(first_of(&self.python))]);
        let mut entries = vec![Entry::binding("packages", packages)];
        if let Some(path) = self.library_path() {
            let words = "Programs that were built for other systems find these through nix-ld or pitstop-ld.";
            let loader = Expr::Plain("pkgs.stdenv.cc.bintools.dynamicLinker".to_owned());
            entries.push(Entry::binding("NIX_LD", loader).apart().saying(wrapped(words, indent)));
            entries.push(Entry::binding("NIX_LD_LIBRARY_PATH", Expr::Plain(path.clone())));
            if self.ld_library_path {
                let words = "Python finds them through this, as does every other program of the shell.";
                let entry = Entry::binding("LD_LIBRARY_PATH", Expr::Plain(path));
                entries.push(entry.apart().saying(wrapped(words, indent)));
            }
        }
        let words = if self.ld_library_path {
            Vec::new()
        } else {
            wrapped(
                "Lets the packages of this environment find their libraries, and changes nothing for other programs. \
                 pitstop has to be on the PATH, where its NixOS and home-manager modules put it; a shell that does \
                 without it is written by `pitstop shell --ld-library-path`.",
                indent,
            )
        };
        entries.push(Entry::binding("shellHook", self.hook()).apart().saying(words));
        Expr::Call("pkgs.mkShell".to_owned(), Box::new(Expr::Set(entries)))
    }

    /// Where the libraries lie, as a string; `None` where there are none.
    fn library_path(&self) -> Option<String> {
        let call = "pkgs.lib.makeLibraryPath libraries";
        match (self.libraries.is_empty(), self.drivers.is_empty()) {
            (true, true) => None,
            (true, false) => Some(string(DRIVERS)),
            (false, true) => Some(call.to_owned()),
            (false, false) => Some(format!("\"${{{call}}}:{DRIVERS}\"")),
        }
    }

    fn hook(&self) -> Expr {
        let mut lines = vec![format!("venv={}", shell_word(&self.environment))];
        let (file, activate) = if self.is_venv { ("/bin/activate", true) } else { ("", false) };
        lines.push(format!("if [ ! -e \"$venv{file}\" ]; then"));
        let make = if activate { ": make it with python -m venv" } else { "" };
        lines.push(format!("  echo \"There is no $venv here{make}, and enter this shell again.\" >&2"));
        if self.ld_library_path {
            if activate {
                lines.extend(["else", "  source \"$venv/bin/activate\""].map(str::to_owned));
            }
        } else {
            lines.push("else".to_owned());
            if activate {
                lines.push("  source \"$venv/bin/activate\"".to_owned());
            }
            let optional = if self.optional { " --optional" } else { "" };
            lines.push("  if type -P pitstop > /dev/null; then".to_owned());
            lines.push(format!("    pitstop fix --quiet{optional} \"$venv\""));
            lines.push("  else".to_owned());
            let words = "pitstop is not on the PATH, so packages of $venv may miss libraries.";
            lines.push(format!("    echo \"{words}\" >&2"));
            lines.push("  fi".to_owned());
        }
        lines.push("fi".to_owned());
        Expr::Lines(lines.iter().map(|line| plain(line)).collect())
    }

    fn flake(&self) -> Expr {
        let pkgs = Expr::Plain("nixpkgs.legacyPackages.${system}".to_owned());
        let shells = Expr::Set(vec![Entry::binding("default", self.shell(12))]);
        let per_system = self.with_libraries(vec![Entry::binding("pkgs", pkgs)], 10, shells);
        let systems = "nixpkgs.lib.genAttrs [ \"x86_64-linux\" \"aarch64-linux\" ]".to_owned();
        let shells =
            Entry::binding("devShells", Expr::Each(systems, "system".to_owned(), Box::new(per_system)));
        let arguments = vec!["nixpkgs".to_owned(), "...".to_owned()];
        let outputs = Expr::Function(arguments, Box::new(Expr::Set(vec![shells])));
        let text = |words: &str| Expr::Plain(string(words));
        Expr::Set(vec![
            Entry::binding("description", text("The shell of a Python environment with native packages")),
            Entry::binding("inputs.nixpkgs.url", text("github:NixOS/nixpkgs/nixos-unstable")).apart(),
            Entry::binding("outputs", outputs).apart(),
        ])
    }

    fn module(&self) -> Expr {
        let of = |name: &str| {
            let libraries = if self.libraries.is_empty() {
                Entry::binding("libraries", Expr::List(Vec::new()))
            } else {
                Entry::inherit("libraries")
            };
            let enable = Entry::binding("enable", Expr::Plain("true".to_owned()));
            Box::new(Expr::Set(vec![Entry::binding(name, Expr::Set(vec![enable, libraries]))]))
        };
        let programs = Expr::If("options.programs ? pitstop".to_owned(), of("pitstop"), of("nix-ld"));
        let words = "pitstop's module where the configuration has it; its farm is also where `pitstop fix` looks first.";
        let programs = Entry::binding("programs", programs).saying(wrapped(words, 2));
        let body = self.with_libraries(Vec::new(), 2, Expr::Set(vec![programs]));
        let arguments = ["options", "pkgs", "..."].map(str::to_owned).to_vec();
        Expr::Function(arguments, Box::new(body))
    }
}

#[cfg(test)]
mod tests;
