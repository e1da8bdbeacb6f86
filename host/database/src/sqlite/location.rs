//! Where a database is.

use std::path::{Path, PathBuf};

/// What stands behind `sqlite:` where there is no file.
const MEMORY: &str = ":memory:";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    File(PathBuf),
    /// Lives as long as the process.
    Memory,
}

impl Location {
    /// `main.db`, `/srv/shop.db` or `:memory:`; two slashes before it are no part of it.
    pub(super) fn read(place: &str, data: &Path) -> Result<Self, &'static str> {
        let place = place.strip_prefix("//").unwrap_or(place);
        match place {
            MEMORY => Ok(Self::Memory),
            "" => Err("there is no file in it: write `sqlite:FILE` or `sqlite::memory:`"),
            place if place.contains(['?', '#', '\0']) => {
                Err("it takes no options: write `sqlite:FILE`, and the rest as keys of the database")
            }
            place if place.ends_with('/') => Err("a file is needed, and that is a folder"),
            // Absolute, so that SQLite can not take it for a URL of its own.
            place => match std::path::absolute(data.join(place)) {
                Ok(file) => Ok(Self::File(file)),
                Err(_) => Err("the current folder is gone"),
            },
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[track_caller]
    fn check(place: &str, file: &str) {
        let read = Location::read(place, "/data".as_ref());
        assert_eq!(read, Ok(Location::File(file.into())), "{place}");
    }

    #[test]
    fn a_relative_file_lies_in_the_data_folder() {
        check("main.db", "/data/main.db");
        check("//main.db", "/data/main.db");
        check("/srv/shop.db", "/srv/shop.db");
        check("///srv/shop.db", "/srv/shop.db");
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for place in ["", "//", "a/", "a.db?mode=ro", "a\0b"] {
            assert!(Location::read(place, "/data".as_ref()).is_err(), "{place:?}");
        }
        assert_eq!(Location::read(":memory:", "/data".as_ref()), Ok(Location::Memory));
    }
}
