//! The `buildFHSEnv` of nixpkgs that has what `pitstop fhs` shows.

use super::print::{Entry, Expr, file, select, string};
use super::{head, shell_word};

/// A file with a root of these packages, in which `command` is run.
#[must_use]
pub fn fhs(name: &str, attributes: &[String], command: &[String]) -> String {
    let packages = attributes.iter().map(|it| Entry::element(select("pkgs", it))).collect();
    let words = if command.is_empty() { vec!["bash".to_owned()] } else { command.to_vec() };
    let script = words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
    let environment = Expr::Set(vec![
        Entry::binding("name", Expr::Plain(string(name))),
        Entry::binding("targetPkgs", Expr::Call("pkgs:".to_owned(), Box::new(Expr::List(packages)))),
        Entry::binding("runScript", Expr::Plain(string(&script))),
    ]);
    let call = Expr::Call("pkgs.buildFHSEnv".to_owned(), Box::new(environment));
    let whole = Expr::Function(vec!["pkgs ? import <nixpkgs> { }".to_owned()], Box::new(call));
    file(&head(&format!("fhs --export {name}")), &whole)
}

#[cfg(test)]
mod tests {
    use super::fhs;

    #[test]
    fn it_has_the_packages_and_the_command() {
        let command = ["tox".to_owned(), "-e a b".to_owned()];
        let text = fhs("dev", &["gcc".to_owned(), "xorg.libX11".to_owned()], &command);
        let expected = r#"# Written by `pitstop fhs --export dev`, which writes it anew when it runs again.
# Without the line above it is yours, and pitstop leaves it as it is.
{
  pkgs ? import <nixpkgs> { },
}:
pkgs.buildFHSEnv {
  name = "dev";
  targetPkgs = pkgs: [
    pkgs.gcc
    pkgs.xorg.libX11
  ];
  runScript = "tox '-e a b'";
}
"#;
        assert_eq!(text, expected);
        for (packages, command) in [(&[][..], &[][..]), (&["a".to_owned()], &["${x}\\\"".to_owned()])] {
            let text = fhs("a", packages, command);
            assert_eq!(nixfmt_rs::format(&text).unwrap(), text);
        }
        assert_eq!(nixfmt_rs::format(&text).unwrap(), text);
    }
}
