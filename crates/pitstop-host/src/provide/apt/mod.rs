//! Libraries out of Debian packages.
//!
//! Without root, packages are downloaded and unpacked into a folder beside the venv, with those of their dependencies
//! that the machine lacks. apt itself finds them, fetches them and checks their signatures and hashes; all that differs
//! from installing is where the files go. With root and the user's wish, they are installed.

mod pins;
mod unpack;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use pitstop_core::locate::{Class, Suite};

use super::child::{self, Finished, Stream};
use super::host::Places;
use super::{
    Context, Cost, Error, Event, Interrupt, Outcome, Provider, Provision, Refused, Want, closure, fitting,
    soname_of,
};
pub use pins::Pins;
use unpack::Pool;
use words::{Install, Solution};

/// Said where apt is not there.
const MISSING_HINT: &str = "Choose another provider: this one needs a Debian or Ubuntu with apt and dpkg-deb";
/// How long lists of our own are good for.
const LISTS_LAST: Duration = Duration::from_hours(24);
/// The libc and what belongs to it: a process has one, and another beside it is of no use.
const LIBC: [&str; 4] = ["libc6", "libc-bin", "libc-l10n", "locales"];

/// apt, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Apt {
    /// Whose package names to try first.
    pub suite: Suite,
    /// A folder for package lists of our own and for downloads. Made when needed.
    pub cache: PathBuf,
    /// The folder under which packages are unpacked, one folder each. Made when needed.
    pub destination: PathBuf,
    /// Where the host's own libraries lie, when the Python's loader does not look there: dependencies that the machine
    /// has are then named as well.
    pub host: Option<Places>,
    /// Variables set for apt, beside those inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// Versions that packages are to have.
    pub pins: Pins,
}

/// One want, and the packages still to be tried for it.
struct Search<'a> {
    want: &'a Want,
    packages: VecDeque<Idea>,
    reasons: Vec<String>,
}

#[derive(Clone, Debug)]
struct Idea {
    package: String,
    soname: String,
    exact: bool,
}

/// Whose package lists are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lists {
    Machine,
    Own,
}

impl Apt {
    /// Downloads and unpacks what the wants need. Needs no rights beyond writing to its two folders.
    pub fn unpack(&self, wants: &[Want], context: &mut Context<'_>) -> Result<Outcome, Error> {
        let started = Instant::now();
        let mut outcome = Outcome::default();
        let mut searches = searches(wants, self.suite, context.accept_inexact, &mut outcome);
        if !searches.is_empty() {
            fs_err::create_dir_all(&self.destination)?;
            let mut lists = if self.machine_has_lists(context)? { Lists::Machine } else { Lists::Own };
            if lists == Lists::Own {
                self.refresh(LISTS_LAST, context)?;
            }
            let installs = loop {
                let solution = self.solve(&mut searches, lists, &mut outcome, context)?;
                match self.fetch(&solution.installs, lists, &mut outcome.cost, context) {
                    Ok(()) => {
                        outcome.hashes = self.hashes(&solution.installs, lists, context)?;
                        break solution.installs;
                    }
                    // The machine's lists are as old as its administrator let them become; ours can be renewed.
                    Err(Error::ToolFailed { words, .. })
                        if lists == Lists::Machine && words::is_stale(&words) =>
                    {
                        lists = Lists::Own;
                        self.refresh(Duration::ZERO, context)?;
                    }
                    Err(error) => return Err(error),
                }
            };
            self.conclude(searches, &installs, &mut outcome, context);
        }
        outcome.cost.time = started.elapsed();
        Ok(outcome)
    }

    /// Installs what the wants need, as root. `look_again` then finds it, with nothing remembered of before.
    pub fn install(
        &self,
        wants: &[Want],
        look_again: &mut dyn FnMut(&[Want]) -> Outcome,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Error> {
        let started = Instant::now();
        let mut outcome = Outcome::default();
        let mut searches = searches(wants, self.suite, context.accept_inexact, &mut outcome);
        if searches.is_empty() {
            return Ok(outcome);
        }
        let is_root = rustix::process::geteuid().is_root();
        if is_root && !self.machine_has_lists(context)? {
            (context.progress)(Event::Step("updating the package lists".into()));
            succeed(self.apt_get(None).arg("update"), context)?;
        }
        let solution = self.solve(&mut searches, Lists::Machine, &mut outcome, context)?;
        let packages: BTreeSet<String> =
            searches.iter().filter_map(Search::package).map(str::to_owned).collect();
        if packages.is_empty() {
            return Ok(outcome);
        }
        if !is_root {
            return Err(Error::NotRoot { packages: packages.into_iter().collect() });
        }
        if !solution.removals.is_empty() {
            let words = format!("it would remove {}", solution.removals.join(", "));
            let hint = Some(format!("Run `sudo apt install {}` if you want that", join(&packages)));
            return Err(Error::ToolFailed { program: "apt-get install".into(), words, hint });
        }
        (context.progress)(Event::Step(format!("installing {}", join(&packages))));
        let mut command = self.apt_get(None);
        command.args(["install", "--yes", "--no-install-recommends", "--no-remove"]).args(&packages);
        download(&mut command, &mut outcome.cost, context)?;
        let wants: Vec<Want> = searches.iter().map(|search| search.want.clone()).collect();
        let seen = look_again(&wants);
        for mut provision in seen.provisions {
            let search = searches.iter().find(|search| search.want.soname == provision.soname);
            if let Some(package) = search.and_then(Search::package) {
                provision.by = Provider::Installed { package: package.to_owned() };
                provision.note = format!("{package}, installed: {}", provision.file.display());
            }
            outcome.provisions.push(provision);
        }
        outcome.refused.extend(seen.refused);
        outcome.cost.time = started.elapsed();
        Ok(outcome)
    }

    /// What apt would install for the first idea of every search. Searches that come to an end are refused.
    fn solve(
        &self,
        searches: &mut Vec<Search<'_>>,
        lists: Lists,
        outcome: &mut Outcome,
        context: &mut Context<'_>,
    ) -> Result<Solution, Error> {
        (context.progress)(Event::Step("asking apt which packages are needed".into()));
        loop {
            let (ended, open) =
                std::mem::take(searches).into_iter().partition(|search| search.packages.is_empty());
            *searches = open;
            let refused = |search: Search<'_>| {
                let reason = search.reasons.join("\n");
                Refused { soname: search.want.soname.clone(), hint: words::hint(&reason), reason }
            };
            outcome.refused.extend(Vec::into_iter(ended).map(refused));
            let packages: BTreeSet<String> =
                searches.iter().filter_map(Search::package).map(str::to_owned).collect();
            if packages.is_empty() {
                return Ok(Solution::default());
            }
            let reasons = match self.simulate(&packages, lists, context)? {
                Ok(solution) => return Ok(solution),
                Err(reasons) if !reasons.is_empty() => reasons,
                // Together they cannot be had; those that cannot be had alone are to blame.
                Err(_) => self.blame(&packages, lists, context)?,
            };
            for search in searches.iter_mut() {
                if let Some(reason) = search.package().and_then(|package| reasons.get(package)) {
                    search.reasons.push(reason.clone());
                    search.packages.pop_front();
                }
            }
        }
    }

    /// Runs apt's solver. The inner error says of packages why they cannot be had; empty, the blame is unclear.
    fn simulate(
        &self,
        packages: &BTreeSet<String>,
        lists: Lists,
        context: &mut Context<'_>,
    ) -> Result<Result<Solution, BTreeMap<String, String>>, Error> {
        // Packages that these need are held to their versions too, once it is known which they are.
        let mut named = packages.clone();
        let mut without: BTreeSet<String> = BTreeSet::new();
        loop {
            let mut command = self.apt_get(Some(lists));
            command.args(["install", "--simulate", "--no-install-recommends"]);
            command.args(named.iter().map(|package| self.pins.word(package, &without)));
            let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
            let output = String::from_utf8_lossy(&finished.output);
            if finished.status.success() {
                let solution = words::solution(&output);
                let astray = self.pins.astray(&solution.installs, &named, &without);
                if astray.is_empty() {
                    return Ok(Ok(solution));
                }
                named.extend(astray);
                continue;
            }
            let gone = words::versions_gone(&finished.errors);
            if gone.is_empty() {
                return Self::unsolved(&output, &finished.errors, packages);
            }
            let open = gone.iter().filter(|(package, _)| !without.contains(package)).count();
            if self.pins.strict || open == 0 {
                let reason = |(package, version): (String, String)| {
                    let reason = format!("apt has no version {version} of {package}");
                    (package, reason)
                };
                // A package that others need is told for all of them.
                let mut reasons: BTreeMap<String, String> = gone.into_iter().map(reason).collect();
                let of_others = reasons.iter().find(|(package, _)| !packages.contains(*package));
                if let Some(words) = of_others.map(|(_, words)| words.clone()) {
                    reasons.extend(packages.iter().map(|package| (package.clone(), words.clone())));
                }
                return Ok(Err(reasons));
            }
            without.extend(gone.into_iter().map(|(package, _)| package));
        }
    }

    /// What apt means by having no solution.
    fn unsolved(
        output: &str,
        errors: &str,
        packages: &BTreeSet<String>,
    ) -> Result<Result<Solution, BTreeMap<String, String>>, Error> {
        let unknown = words::unknown(errors);
        if !unknown.is_empty() {
            let reason = |package: &String| (package.clone(), format!("Unable to locate package {package}"));
            return Ok(Err(unknown.iter().map(reason).collect()));
        }
        let words = words::failure(output, errors);
        if words.contains("unmet dependencies") || words.contains("held broken packages") {
            let reason = |package: &String| (package.clone(), words.clone());
            let alone = packages.len() == 1;
            return Ok(Err(packages.iter().filter(|_| alone).map(reason).collect()));
        }
        let hint = words::hint(&words);
        Err(Error::ToolFailed { program: "apt-get install --simulate".into(), words, hint })
    }

    fn blame(
        &self,
        packages: &BTreeSet<String>,
        lists: Lists,
        context: &mut Context<'_>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut reasons = BTreeMap::new();
        for package in packages {
            if let Err(reason) = self.simulate(&BTreeSet::from([package.clone()]), lists, context)? {
                reasons.extend(reason);
            }
        }
        if reasons.is_empty() {
            // Each can be had, but not with the others: all but the first wait for another run.
            let reason = |package: &String| {
                let first = packages.first().map_or("", String::as_str);
                (package.clone(), format!("{package} cannot be had together with {first}"))
            };
            reasons = packages.iter().skip(1).map(reason).collect();
        }
        Ok(reasons)
    }

    /// Downloads and unpacks the packages whose folders are not there yet.
    fn fetch(
        &self,
        installs: &[Install],
        lists: Lists,
        cost: &mut Cost,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let absent: Vec<&Install> =
            installs.iter().filter(|install| is_useful(install) && !self.folder(install).is_dir()).collect();
        if absent.is_empty() {
            return Ok(());
        }
        fs_err::create_dir_all(self.cache.join("archives/partial"))?;
        // A fresh folder each time: of an archive that lies there already, apt only compares the size.
        let archives = tempfile::Builder::new().prefix("download-").tempdir_in(&self.cache)?;
        (context.progress)(Event::Step(format!("downloading {} packages", absent.len())));
        let mut command = self.apt_get(Some(lists));
        command.current_dir(archives.path()).arg("download");
        command.args(absent.iter().map(|install| {
            let Install { package, version, architecture } = install;
            format!("{package}:{architecture}={version}")
        }));
        download(&mut command, cost, context)?;
        (context.progress)(Event::Step(format!("unpacking {} packages", absent.len())));
        for install in absent {
            // The names that apt gives to archives; `%3a` is a colon, which would end an entry of a search path.
            let file = format!("{}_{}.deb", name(install), install.architecture);
            unpack::unpack(&archives.path().join(file), &self.folder(install), context.interrupt)?;
            (context.progress)(Event::Finished(install.package.clone()));
        }
        Ok(())
    }

    /// Finds the libraries among what was unpacked.
    fn conclude(
        &self,
        searches: Vec<Search<'_>>,
        installs: &[Install],
        outcome: &mut Outcome,
        context: &mut Context<'_>,
    ) {
        let useful: Vec<&Install> = installs.iter().filter(|install| is_useful(install)).collect();
        let folders: Vec<PathBuf> = useful.iter().map(|install| self.folder(install)).collect();
        let mut pools: BTreeMap<u16, Pool> = BTreeMap::new();
        for search in searches {
            let target = search.want.target;
            let pool =
                pools.entry(target.machine).or_insert_with(|| Pool::of(&folders, target, context.files));
            match self.library(&search, &useful, pool, context) {
                Ok(provision) => outcome.provisions.push(provision),
                Err(reason) => {
                    let soname = search.want.soname.clone();
                    outcome.refused.push(Refused { soname, reason, hint: None });
                }
            }
        }
    }

    fn library(
        &self,
        search: &Search<'_>,
        installs: &[&Install],
        pool: &Pool,
        context: &Context<'_>,
    ) -> Result<Provision, String> {
        let want = search.want;
        let Some(idea) = search.packages.front() else { return Err(search.reasons.join("\n")) };
        let mut misfit = None;
        for file in pool.get(&idea.soname) {
            let elf = match fitting(context.files, file, want) {
                Ok(Some(elf)) => elf,
                Ok(None) => continue,
                Err(reason) => {
                    misfit = misfit.or(Some(reason));
                    continue;
                }
            };
            let holder = installs.iter().find(|install| file.starts_with(self.folder(install)));
            let Some(holder) = holder else { continue };
            let places = |soname: &str| {
                let mut files = pool.get(soname).to_vec();
                files.extend(self.host.iter().flat_map(|host| host.of(soname)));
                files
            };
            let folder = self.folder(holder);
            return Ok(Provision {
                soname: want.soname.clone(),
                file: file.clone(),
                found: soname_of(&elf),
                exact: idea.exact,
                dependencies: closure::dependencies(file, &elf, want, context.files, &places),
                note: format!("{} {}, unpacked in {}", holder.package, holder.version, folder.display()),
                by: Provider::Apt {
                    package: holder.package.clone(),
                    version: holder.version.clone(),
                    folder,
                },
            });
        }
        let Idea { package, soname, .. } = idea;
        Err(misfit.unwrap_or_else(|| {
            if installs.iter().any(|install| install.package == *package) {
                format!("{package} has no {soname}")
            } else {
                format!("{package} is installed already, and its {soname} was not found or does not fit")
            }
        }))
    }

    fn folder(&self, install: &Install) -> PathBuf {
        self.destination.join(name(install))
    }

    /// Whether there are package lists on this machine. Slim containers come without.
    fn machine_has_lists(&self, context: &mut Context<'_>) -> Result<bool, Error> {
        let mut command = self.command("apt-config");
        command.args(["shell", "folder", "Dir::State::Lists/d"]);
        let finished = child::run(&mut command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
        let answer = String::from_utf8_lossy(&finished.output).into_owned();
        let folder = answer.trim().strip_prefix("folder=").map(|folder| folder.trim_matches('\''));
        Ok(folder.is_some_and(|folder| newest_list(Path::new(folder)).is_some()))
    }

    /// Renews the lists of our own if they are older than `age`.
    fn refresh(&self, age: Duration, context: &mut Context<'_>) -> Result<(), Error> {
        let lists = self.cache.join("lists");
        let is_fresh = |time: SystemTime| time.elapsed().is_ok_and(|elapsed| elapsed < age);
        if newest_list(&lists).is_some_and(is_fresh) {
            return Ok(());
        }
        fs_err::create_dir_all(lists.join("partial"))?;
        fs_err::create_dir_all(self.cache.join("archives/partial"))?;
        (context.progress)(Event::Step("fetching package lists".into()));
        let mut command = self.apt_get(Some(Lists::Own));
        // Translations and software catalogues are most of the download, and of no use here.
        command.args([
            "-o",
            "Acquire::Languages=none",
            "-o",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ]);
        let finished = succeed(command.arg("update"), context)?;
        if newest_list(&lists).is_none() {
            // `apt-get update` calls it a success when no server answers.
            return Err(failed("apt-get update", &finished));
        }
        Ok(())
    }

    /// `apt-get`, touching nothing of the machine's state unless `lists` is none.
    fn apt_get(&self, lists: Option<Lists>) -> Command {
        let mut command = self.command("apt-get");
        command.arg("--quiet");
        if let Some(lists) = lists {
            let option = |name: &str, value: &Path| {
                let mut option = OsString::from(format!("{name}="));
                option.push(value);
                option
            };
            command.args(["-o", "Debug::NoLocking=1"]);
            // Root of a user namespace may be unable to become the user that apt downloads as.
            if fs_err::read_to_string("/proc/self/setgroups").is_ok_and(|answer| answer.trim() == "deny") {
                command.args(["-o", "APT::Sandbox::User=root"]);
            }
            // The machine's status file stays in place, so that what is installed is not downloaded again.
            command.arg("-o").arg(option("Dir::Cache", &self.cache));
            if lists == Lists::Own {
                command.arg("-o").arg(option("Dir::State::Lists", &self.cache.join("lists")));
            }
        }
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = child::command(program);
        command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Search<'_> {
    fn package(&self) -> Option<&str> {
        self.packages.front().map(|idea| idea.package.as_str())
    }
}

/// Runs a command that downloads, and counts.
fn download(command: &mut Command, cost: &mut Cost, context: &mut Context<'_>) -> Result<(), Error> {
    let progress = &mut context.progress;
    let finished = child::run(command, MISSING_HINT, context.interrupt, &mut |stream, line| {
        if stream == Stream::Output
            && let Some((package, bytes)) = words::download(&String::from_utf8_lossy(line))
        {
            cost.downloaded += 1;
            cost.bytes += bytes;
            progress(Event::Downloading(package));
        }
    })?;
    if finished.status.success() { Ok(()) } else { Err(failed("apt-get", &finished)) }
}

/// Runs an `apt-get update` that may succeed without having fetched anything; what it says is an error only where it fails.
pub(crate) fn update(
    command: &mut Command,
    progress: &mut dyn FnMut(Event),
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let finished = child::run(command, MISSING_HINT, interrupt, &mut |stream, line| {
        let line = String::from_utf8_lossy(line);
        if stream == Stream::Output
            && let Some(rest) = line.strip_prefix("Get:").and_then(|rest| rest.split_once(' '))
        {
            progress(Event::Downloading(rest.1.trim().to_owned()));
        }
    })?;
    if finished.status.success() { Ok(()) } else { Err(failed("apt-get update", &finished)) }
}

fn succeed(command: &mut Command, context: &mut Context<'_>) -> Result<Finished, Error> {
    let finished = child::run(command, MISSING_HINT, context.interrupt, &mut |_, _| {})?;
    if finished.status.success() { Ok(finished) } else { Err(failed("apt-get", &finished)) }
}

/// The packages to try for every want; wants that no package can meet are refused at once.
fn searches<'a>(wants: &'a [Want], suite: Suite, inexact: bool, outcome: &mut Outcome) -> Vec<Search<'a>> {
    let mut searches = Vec::new();
    for want in wants {
        let packages: VecDeque<Idea> = want
            .candidates
            .debian(suite)
            .filter(|(_, candidate)| candidate.exact || inexact)
            .map(|(package, candidate)| Idea {
                package: package.to_owned(),
                soname: candidate.soname.clone(),
                exact: candidate.exact,
            })
            .collect();
        let reason = match want.candidates.class {
            Class::Driver => "part of a GPU driver, which only the machine itself may provide",
            Class::Libc => "a process has the libc that it started with, and no other",
            _ if packages.is_empty() && want.candidates.debian(suite).next().is_some() => {
                "Debian is known to have it only under another name or version"
            }
            _ if packages.is_empty() => "no Debian package is known to have it",
            _ => {
                searches.push(Search { want, packages, reasons: Vec::new() });
                continue;
            }
        };
        outcome.refused.push(Refused { soname: want.soname.clone(), reason: reason.into(), hint: None });
    }
    searches
}

/// When the newest list of packages in a folder was written.
fn newest_list(folder: &Path) -> Option<SystemTime> {
    let entries = fs_err::read_dir(folder).ok()?;
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
        // apt gives a list the time of the server's; the change time is when it came here.
        .filter_map(|entry| {
            let seconds = std::os::unix::fs::MetadataExt::ctime(&entry.metadata().ok()?);
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
        })
        .max()
}

fn is_useful(install: &Install) -> bool {
    !LIBC.contains(&install.package.as_str())
}

/// `package_version`, as apt writes it in the names of archives.
fn name(install: &Install) -> String {
    format!("{}_{}", install.package, install.version.replace(':', "%3a"))
}

fn join(packages: &BTreeSet<String>) -> String {
    packages.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn failed(program: &str, finished: &Finished) -> Error {
    let words = words::failure(&String::from_utf8_lossy(&finished.output), &finished.errors);
    let hint = words::hint(&words);
    Error::ToolFailed { program: program.into(), words, hint }
}
