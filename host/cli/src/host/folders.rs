//! Where things lie that nobody names: the built-in plugins, and compiled code.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// `plugins/` or `../plugins` beside the binary: an installed copy has the one, a checkout (`target/plugins` for
/// `target/debug/stepcell`) the other.
pub(super) fn builtins(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let places = [Some(folder.join("plugins")), folder.parent().map(|above| above.join("plugins"))];
    places.into_iter().flatten().find(|place| place.is_dir())
}

/// The folder for compiled code: the one that was named, else the user's cache folder.
pub(super) fn cache(named: Option<&Path>) -> Result<PathBuf, Error> {
    cache_from(named, |name| env::var_os(name).map(PathBuf::from))
}

fn cache_from(named: Option<&Path>, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, Error> {
    // A relative path in either variable is to be ignored, says the XDG specification.
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let user = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    named.map(Path::to_owned).or_else(|| Some(user()?.join("stepcell"))).ok_or_else(|| {
        Error::call(
            "cache_unknown",
            "there is no folder for compiled plugins: neither XDG_CACHE_HOME nor HOME is set",
            "name one with `--cache DIR` or STEPCELL_CACHE",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(named: Option<&str>, variables: &[(&str, &str)], expected: Option<&str>) {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        assert_eq!(cache_from(named.map(Path::new), variable).ok(), expected.map(PathBuf::from));
    }

    #[test]
    fn the_cache_is_named_or_the_users() {
        check(Some("here"), &[("XDG_CACHE_HOME", "/x")], Some("here"));
        check(None, &[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/stepcell"));
        check(None, &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")], Some("/h/.cache/stepcell"));
        check(None, &[], None);
    }

    #[test]
    fn builtins_lie_beside_the_binary_or_above_it() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("bin/stepcell");
        assert_eq!(builtins(&program), None);
        std::fs::create_dir(root.path().join("plugins")).unwrap();
        assert_eq!(builtins(&program), Some(root.path().join("plugins")));
        std::fs::create_dir_all(root.path().join("bin/plugins")).unwrap();
        assert_eq!(builtins(&program), Some(root.path().join("bin/plugins")));
    }
}
