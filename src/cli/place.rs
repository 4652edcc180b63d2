//! Where the configuration is, from whatever folder the program is started.

use std::path::{Path, PathBuf};

/// Names the file where no `--config` does.
const VARIABLE: &str = "SEALGATE_CONFIG";

/// Where it is looked for, in this order, where nothing names it.
const PLACES: [&str; 2] = ["config/sealgate.toml", "/etc/sealgate/sealgate.toml"];

/// The file that `--config` names, or the variable, or that stands in one of the places.
///
/// # Errors
/// Nothing names one and none is there; the text has every place that was looked at.
pub fn find(named: Option<PathBuf>) -> Result<PathBuf, String> {
    let by_variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    first(named.or(by_variable.map(PathBuf::from)), PLACES.map(PathBuf::from).to_vec())
}

/// A file that is there and cannot be read is the one that is meant: it is not passed over.
fn first(named: Option<PathBuf>, places: Vec<PathBuf>) -> Result<PathBuf, String> {
    if let Some(path) = named.or_else(|| places.iter().find(|path| may_be_there(path)).cloned()) {
        return Ok(path);
    }
    let looked: Vec<String> = places
        .iter()
        .map(|path| {
            let whole = std::path::absolute(path);
            whole.as_deref().unwrap_or(path).display().to_string()
        })
        .collect();
    Err(format!(
        "there is no configuration: no --config, {VARIABLE} is not set, and neither {} is there; \
         name the file with --config",
        looked.join(" nor ")
    ))
}

/// Whoever may not look cannot say that it is not there.
fn may_be_there(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    !std::fs::symlink_metadata(path).is_err_and(|error| [NotFound, NotADirectory].contains(&error.kind()))
}

#[cfg(test)]
mod tests {
    use super::first;
    use std::path::PathBuf;

    #[test]
    fn the_first_place_that_has_one_is_taken_and_all_are_named() {
        let folder = std::env::temp_dir().join(format!("sealgate-place-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (one, two) = (folder.join("one.toml"), folder.join("two.toml"));
        let places = || vec![one.clone(), two.clone()];
        let none = first(None, places()).unwrap_err();
        for part in ["one.toml", "two.toml", "SEALGATE_CONFIG", "--config"] {
            assert!(none.contains(part), "{none}");
        }
        let named = PathBuf::from("named.toml");
        assert_eq!(first(Some(named.clone()), places()), Ok(named));
        std::fs::write(&two, "").unwrap();
        assert_eq!(first(None, places()), Ok(two.clone()));
        std::fs::write(&one, "").unwrap();
        assert_eq!(first(None, places()), Ok(one.clone()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
