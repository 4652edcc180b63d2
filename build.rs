//! Tells the program of which commit it is, by `SEALGATE_COMMIT`: as the environment has it (an
//! image is built without a repository), or for a release as git does. A build for development is
//! of no commit, and is not made anew because there is another one.

use std::path::Path;
use std::process::Command;

const VARIABLE: &str = "SEALGATE_COMMIT";
/// Digits of a commit that are shown.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let given = std::env::var(VARIABLE).unwrap_or_default();
    let given: String = given.chars().filter(char::is_ascii_alphanumeric).take(DIGITS).collect();
    let commit = if !given.is_empty() {
        given
    } else if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        of_repository().unwrap_or_else(|| "unknown commit".to_owned())
    } else {
        "development build".to_owned()
    };
    println!("cargo::rustc-env={VARIABLE}={commit}");
}

/// None where this folder is in no repository of its own, or there is no git.
fn of_repository() -> Option<String> {
    // A file in a worktree, a folder otherwise; what lies in somebody else's repository is not of it.
    if !Path::new(".git").exists() {
        return None;
    }
    let commit = git(&["rev-parse", "--verify", "HEAD"])?;
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // The log of HEAD grows with every commit, wherever git keeps the branch.
    for name in ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref()) {
        // A path that is not there would have this run again at every build.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(commit.chars().take(DIGITS).collect())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}
