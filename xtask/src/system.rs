//! Installing what a fresh machine lacks through its own package manager, or saying how.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::command::{run, succeeds};
use crate::error::{Error, Result};

/// A package manager of a Linux distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Pacman,
    Apk,
}

/// What the current user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    Root,
    /// `sudo` asks for no password.
    Sudo,
    User,
}

/// As much of the system as a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) manager: Option<Manager>,
    pub(crate) rights: Rights,
}

/// Something that a chore needs, and the packages that bring it.
pub(crate) struct Need {
    pub(crate) what: &'static str,
    pub(crate) apt: &'static str,
    pub(crate) dnf: &'static str,
    pub(crate) pacman: &'static str,
    pub(crate) apk: &'static str,
    /// What to do where no known package manager is at hand.
    pub(crate) otherwise: &'static str,
}

/// What to do about something missing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Run these lines, in order.
    Run(Vec<String>),
    /// Only the user can do it, with this line.
    Ask(String),
}

impl Manager {
    const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Apk];

    fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Apk => "apk",
        }
    }

    /// The lines that install packages without asking anything.
    fn lines(self, need: &Need) -> Vec<String> {
        match self {
            Self::Apt => vec![
                "apt-get update -qq".into(),
                format!("apt-get install -qq -y --no-install-recommends {}", need.apt),
            ],
            Self::Dnf => vec![format!("dnf install -q -y {}", need.dnf)],
            Self::Pacman => vec![format!("pacman -Sy --noconfirm --needed {}", need.pacman)],
            Self::Apk => vec![format!("apk add -q {}", need.apk)],
        }
    }
}

impl Host {
    /// The machine this runs on.
    fn detect() -> Self {
        let manager = Manager::ALL.into_iter().find(|manager| on_path(manager.program()));
        Self { manager, rights: rights() }
    }

    /// What this host takes to get something.
    pub(crate) fn plan(self, need: &Need) -> Plan {
        let Some(manager) = self.manager else { return Plan::Ask(need.otherwise.into()) };
        let lines = manager.lines(need);
        let with_sudo = lines.iter().map(|line| format!("sudo {line}"));
        match self.rights {
            Rights::Root => Plan::Run(lines),
            Rights::Sudo => Plan::Run(with_sudo.collect()),
            Rights::User => Plan::Ask(with_sudo.collect::<Vec<_>>().join(" && ")),
        }
    }
}

/// Installs a need that `present` does not find, or returns the error that says how.
pub(crate) fn ensure(need: &Need, present: impl Fn() -> bool) -> Result<()> {
    if present() {
        return Ok(());
    }
    let lines = match Host::detect().plan(need) {
        Plan::Run(lines) => lines,
        Plan::Ask(line) => return Err(Error::Missing { what: need.what, line }),
    };
    eprintln!("{} is missing and will be installed", need.what);
    lines.iter().try_for_each(|line| quietly(line))?;
    if present() { Ok(()) } else { Err(Error::StillMissing { what: need.what }) }
}

/// Fetches apt's list of packages, or returns the error that says how.
pub(crate) fn refresh() -> Result<()> {
    let line = "apt-get update -qq";
    match rights() {
        Rights::Root => quietly(line),
        Rights::Sudo => quietly(&format!("sudo {line}")),
        Rights::User => Err(Error::Missing { what: "apt's list of packages", line: format!("sudo {line}") }),
    }
}

/// Runs a line. Mistakes go to standard error; a list of packages helps nobody.
fn quietly(line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    run(command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()))
}

/// Whether a program of this name lies in one of the folders of `PATH`.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.retain(|folder| folder.join(program).is_file());
    !folders.is_empty()
}

fn rights() -> Rights {
    let id = Command::new("id").arg("-u").output();
    if id.is_ok_and(|id| id.stdout.trim_ascii() == b"0") {
        Rights::Root
    } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
        Rights::Sudo
    } else {
        Rights::User
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Need = Need {
        what: "a driver",
        apt: "a1 a2",
        dnf: "d1",
        pacman: "p1",
        apk: "k1",
        otherwise: "install a driver",
    };

    fn plan(manager: Option<Manager>, rights: Rights) -> Plan {
        Host { manager, rights }.plan(&NEED)
    }

    #[test]
    fn root_installs_without_sudo() {
        let Plan::Run(lines) = plan(Some(Manager::Apt), Rights::Root) else { panic!("root may install") };
        assert_eq!(lines[0], "apt-get update -qq");
        assert_eq!(lines[1], "apt-get install -qq -y --no-install-recommends a1 a2");
    }

    #[test]
    fn passwordless_sudo_installs() {
        let lines = vec!["sudo dnf install -q -y d1".to_owned()];
        assert_eq!(plan(Some(Manager::Dnf), Rights::Sudo), Plan::Run(lines));
    }

    #[test]
    fn everybody_else_gets_the_exact_line() {
        let line = "sudo apt-get update -qq && sudo apt-get install -qq -y --no-install-recommends a1 a2";
        assert_eq!(plan(Some(Manager::Apt), Rights::User), Plan::Ask(line.into()));
        let line = "sudo pacman -Sy --noconfirm --needed p1";
        assert_eq!(plan(Some(Manager::Pacman), Rights::User), Plan::Ask(line.into()));
        assert_eq!(plan(Some(Manager::Apk), Rights::User), Plan::Ask("sudo apk add -q k1".into()));
    }

    #[test]
    fn an_unknown_system_gets_advice_even_for_root() {
        assert_eq!(plan(None, Rights::Root), Plan::Ask("install a driver".into()));
    }

    #[test]
    fn what_is_present_is_left_alone() {
        ensure(&NEED, || true).unwrap();
    }

    #[test]
    fn cargo_is_on_the_path() {
        assert!(on_path(&format!("cargo{}", std::env::consts::EXE_SUFFIX)));
        assert!(!on_path("no-such-program"));
    }
}
