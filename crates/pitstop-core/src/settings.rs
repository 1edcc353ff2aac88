//! What a project wishes of pitstop: `[tool.pitstop]` of its `pyproject.toml`, or all of its `pitstop.toml`.
//!
//! A key that is not known is an error: a setting that is misspelt would otherwise do nothing, and nobody would know.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

#[cfg(test)]
mod tests;

/// The settings of a project. Left out, each means what it means without any settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `libraries`: what is provided although nothing that can be read asks for it.
    pub libraries: Vec<Extra>,
    /// `pins`: for a soname the package that it is to come from.
    pub pins: BTreeMap<String, Pin>,
    /// `exclude`: packages that are not looked at, their names normalised.
    pub exclude: BTreeSet<String>,
    /// `providers`: who is asked, in this order, and nobody else. `None` where it is not said.
    pub providers: Option<Vec<Giver>>,
    /// `optional`: what packages can do without and is provided all the same.
    pub optional: Optional,
    /// `nixpkgs`: the package set, as `--nixpkgs` takes it.
    pub nixpkgs: Option<String>,
    /// `fhs`: what `pitstop fhs` makes its root of.
    pub fhs: Option<Fhs>,
}

/// A library that the settings ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Its soname.
    pub soname: String,
    /// Packages (names normalised) before whose modules it is loaded, because they open it by name from C.
    pub before: Vec<String>,
}

/// From which package a library is to come; `None` where the settings leave it to pitstop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// The attribute of nixpkgs.
    pub nix: Option<String>,
    /// The Debian package.
    pub apt: Option<String>,
}

/// Who may give a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Giver {
    /// Another wheel of the environment.
    Wheel,
    /// The environment's Python: the libraries that it has itself.
    Python,
    /// The machine.
    Host,
    /// A package set of Nix.
    Nix,
    /// Debian packages.
    Apt,
}

impl Giver {
    /// All of them, in the order in which they are asked unless settings say otherwise.
    pub const ALL: [Self; 5] = [Self::Wheel, Self::Python, Self::Host, Self::Nix, Self::Apt];

    /// The word for it, in settings and locks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wheel => "wheel",
            Self::Python => "python",
            Self::Host => "host",
            Self::Nix => "nix",
            Self::Apt => "apt",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|giver| giver.name() == name)
    }
}

/// Which of the libraries that packages can do without are provided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Optional {
    /// None, unless the command line asks for them.
    #[default]
    Unasked,
    /// All.
    All,
    /// These sonames.
    These(BTreeSet<String>),
}

impl Optional {
    /// Whether this one is.
    #[must_use]
    pub fn has(&self, soname: &str) -> bool {
        match self {
            Self::Unasked => false,
            Self::All => true,
            Self::These(sonames) => sonames.contains(soname),
        }
    }
}

/// `[tool.pitstop.fhs]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fhs {
    /// As `--with` takes them.
    pub packages: Vec<String>,
    /// The command, where none is given: words, or one word.
    pub command: Words,
}

/// One word, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// A program without arguments.
    One(String),
    /// A program and its arguments.
    Many(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Why settings cannot be used. The file is named by whoever read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The text is no TOML.
    #[error("{0}")]
    Toml(String),
    /// There is no such setting.
    #[error("`{table}` has no setting `{key}`{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The table in which it stands.
        table: String,
        /// What was written.
        key: String,
        /// The one that was meant, as far as can be guessed.
        nearest: Option<String>,
    },
    /// A setting has another value than it can have.
    #[error("`{key}` must be {expected}, not {found}")]
    Wrong {
        /// The setting, with the tables around it.
        key: String,
        /// What it can be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A word where only some words can stand.
    #[error("`{key}` has no `{word}` to choose from{}", did_you_mean(.nearest.as_deref()))]
    Word {
        /// The setting.
        key: String,
        /// What was written.
        word: String,
        /// The one that was meant, as far as can be guessed.
        nearest: Option<String>,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// The table of a `pyproject.toml` that is pitstop's.
const TABLE: &str = "tool.pitstop";

impl Settings {
    /// The settings in a `pyproject.toml`; `None` where it has none.
    pub fn in_pyproject(text: &str) -> Result<Option<Self>, SettingsError> {
        let all: Table = parse(text)?;
        let Some(tool) = all.get("tool") else { return Ok(None) };
        let tool = table("tool", tool)?;
        tool.get("pitstop").map(|ours| Self::of(TABLE, table(TABLE, ours)?)).transpose()
    }

    /// The settings in a `pitstop.toml`.
    pub fn in_own_file(text: &str) -> Result<Self, SettingsError> {
        Self::of("", &parse(text)?)
    }

    fn of(place: &str, ours: &Table) -> Result<Self, SettingsError> {
        let known = ["exclude", "fhs", "libraries", "nixpkgs", "optional", "pins", "providers"];
        let mut settings = Self::default();
        for (key, value) in ours {
            let name = below(place, key);
            match key.as_str() {
                "exclude" => {
                    settings.exclude = words(&name, value)?.iter().map(|it| normalized(it)).collect();
                }
                "fhs" => settings.fhs = Some(fhs(&name, table(&name, value)?)?),
                "libraries" => settings.libraries = extras(&name, value)?,
                "nixpkgs" => settings.nixpkgs = Some(text(&name, value)?),
                "optional" => settings.optional = optional(&name, value)?,
                "pins" => settings.pins = pins(&name, table(&name, value)?)?,
                "providers" => settings.providers = Some(providers(&name, value)?),
                _ => return Err(unknown(place, key, &known)),
            }
        }
        Ok(settings)
    }
}

/// A package's name as PEP 503 has it: lower case, runs of `-`, `_` and `.` as one `-`.
#[must_use]
pub fn normalized(name: &str) -> String {
    let mut normal = String::new();
    for letter in name.trim().chars() {
        if !matches!(letter, '-' | '_' | '.') {
            normal.extend(letter.to_lowercase());
        } else if !normal.ends_with('-') {
            normal.push('-');
        }
    }
    normal
}

/// Whether this could be the name that a loader asks for: `libz.so.1`, `libfoo-2.so`.
#[must_use]
pub fn is_soname(name: &str) -> bool {
    let dot_so =
        name.match_indices(".so").any(|(at, _)| matches!(name.as_bytes().get(at + 3), None | Some(b'.')));
    dot_so && !name.starts_with('.') && !name.contains(['/', ' ', '\0', '\n', '$', ':'])
}

fn parse(text: &str) -> Result<Table, SettingsError> {
    toml::from_str(text).map_err(|error| SettingsError::Toml(error.to_string().trim_end().to_owned()))
}

fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn unknown(place: &str, key: &str, known: &[&str]) -> SettingsError {
    let table = if place.is_empty() { "pitstop.toml" } else { place };
    SettingsError::Unknown { table: table.to_owned(), key: key.to_owned(), nearest: nearest(key, known) }
}

/// The known word that was most likely meant: one that differs in less than half of its letters.
fn nearest(word: &str, known: &[&str]) -> Option<String> {
    let distance = |other: &&str| strsim::damerau_levenshtein(&word.to_lowercase(), other);
    let nearest = known.iter().min_by_key(|other| distance(other))?;
    (distance(nearest) * 2 <= nearest.chars().count()).then(|| (*nearest).to_owned())
}

fn wrong(key: &str, expected: &'static str, found: &Value) -> SettingsError {
    SettingsError::Wrong { key: key.to_owned(), expected, found: described(found) }
}

fn described(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        other => other.to_string(),
    }
}

fn table<'a>(key: &str, value: &'a Value) -> Result<&'a Table, SettingsError> {
    value.as_table().ok_or_else(|| wrong(key, "a table", value))
}

fn text(key: &str, value: &Value) -> Result<String, SettingsError> {
    let text = value.as_str().filter(|text| !text.trim().is_empty());
    text.map(str::to_owned).ok_or_else(|| wrong(key, "a text", value))
}

fn words(key: &str, value: &Value) -> Result<Vec<String>, SettingsError> {
    let expected = "a list of texts";
    let list = value.as_array().ok_or_else(|| wrong(key, expected, value))?;
    list.iter().map(|one| text(key, one).map_err(|_| wrong(key, expected, one))).collect()
}

fn soname(key: &str, value: &Value) -> Result<String, SettingsError> {
    let name = value.as_str().filter(|name| is_soname(name));
    name.map(str::to_owned).ok_or_else(|| wrong(key, "a soname such as \"libz.so.1\"", value))
}

fn extras(key: &str, value: &Value) -> Result<Vec<Extra>, SettingsError> {
    let expected = "a list of sonames, or of tables with `soname` and `for`";
    let list = value.as_array().ok_or_else(|| wrong(key, expected, value))?;
    let extra = |one: &Value| {
        let Value::Table(fields) = one else {
            return Ok(Extra { soname: soname(key, one)?, before: Vec::new() });
        };
        if let Some(other) = fields.keys().find(|field| !["soname", "for"].contains(&field.as_str())) {
            return Err(unknown(key, other, &["soname", "for"]));
        }
        let named = fields.get("soname").ok_or_else(|| wrong(key, expected, one))?;
        let before = match fields.get("for") {
            None => Vec::new(),
            Some(Value::String(package)) => vec![normalized(package)],
            Some(packages) => {
                words(&below(key, "for"), packages)?.iter().map(|package| normalized(package)).collect()
            }
        };
        Ok(Extra { soname: soname(&below(key, "soname"), named)?, before })
    };
    list.iter().map(extra).collect()
}

fn pins(place: &str, pins: &Table) -> Result<BTreeMap<String, Pin>, SettingsError> {
    let mut found = BTreeMap::new();
    for (name, value) in pins {
        let key = format!("{place}.{name:?}");
        soname(&key, &Value::String(name.clone()))?;
        let pin = match value {
            Value::String(_) => Pin { nix: Some(text(&key, value)?), apt: None },
            Value::Table(sets) => {
                let mut pin = Pin::default();
                for (set, package) in sets {
                    match set.as_str() {
                        "nix" => pin.nix = Some(text(&below(&key, set), package)?),
                        "apt" => pin.apt = Some(text(&below(&key, set), package)?),
                        _ => return Err(unknown(&key, set, &["nix", "apt"])),
                    }
                }
                pin
            }
            other => {
                return Err(wrong(&key, "an attribute of nixpkgs, or a table with `nix` and `apt`", other));
            }
        };
        found.insert(name.clone(), pin);
    }
    Ok(found)
}

fn providers(key: &str, value: &Value) -> Result<Vec<Giver>, SettingsError> {
    let names = Giver::ALL.map(Giver::name);
    let mut givers = Vec::new();
    for word in words(key, value)? {
        let Some(giver) = Giver::from_name(&word) else {
            return Err(SettingsError::Word { key: key.to_owned(), nearest: nearest(&word, &names), word });
        };
        if !givers.contains(&giver) {
            givers.push(giver);
        }
    }
    Ok(givers)
}

fn optional(key: &str, value: &Value) -> Result<Optional, SettingsError> {
    match value {
        Value::Boolean(true) => Ok(Optional::All),
        Value::Boolean(false) => Ok(Optional::Unasked),
        Value::Array(list) => {
            Ok(Optional::These(list.iter().map(|one| soname(key, one)).collect::<Result<_, _>>()?))
        }
        other => Err(wrong(key, "true, false or a list of sonames", other)),
    }
}

fn fhs(place: &str, ours: &Table) -> Result<Fhs, SettingsError> {
    let mut found = Fhs::default();
    for (key, value) in ours {
        let name = below(place, key);
        match (key.as_str(), value) {
            ("packages", value) => found.packages = words(&name, value)?,
            ("command", Value::String(word)) => found.command = Words::One(word.clone()),
            ("command", value) => found.command = Words::Many(words(&name, value)?),
            _ => return Err(unknown(place, key, &["packages", "command"])),
        }
    }
    Ok(found)
}
