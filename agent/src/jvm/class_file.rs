//! Which Java a class file needs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The main class of every remoting library.
const MAIN_CLASS: &str = "hudson/remoting/Launcher.class";

/// The major version of class files of Java 1 would be 44 (JVM specification, 4.1).
const BEFORE_JAVA: u16 = 44;

/// The lowest version of Java that loads this class file; `None` if it is none.
pub(crate) fn java_level(image: &[u8]) -> Option<u32> {
    let header = image.first_chunk::<8>()?;
    let [0xca, 0xfe, 0xba, 0xbe, _, _, high, low] = *header else { return None };
    u16::from_be_bytes([high, low]).checked_sub(BEFORE_JAVA).map(u32::from).filter(|&java| java > 0)
}

/// The same for a remoting library.
///
/// # Errors
/// When the file is not a jar with a remoting library in it.
pub(crate) fn level_of_library(jar: &Path) -> io::Result<u32> {
    let mut zip = zip::ZipArchive::new(File::open(jar)?).map_err(io::Error::other)?;
    let mut class = zip.by_name(MAIN_CLASS).map_err(io::Error::other)?;
    let mut header = [0; 8];
    class.read_exact(&mut header)?;
    java_level(&header).ok_or_else(|| io::Error::other(format!("{MAIN_CLASS} is no class file")))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    /// A jar with a main class of this version.
    pub(crate) fn library(major: u16) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(MAIN_CLASS, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&[0xca, 0xfe, 0xba, 0xbe, 0, 0]).unwrap();
        zip.write_all(&major.to_be_bytes()).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn levels_are_read_and_anything_else_refused() {
        assert_eq!(java_level(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61, 9]), Some(17));
        assert_eq!(java_level(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 44]), None);
        assert_eq!(java_level(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0]), None);
        assert_eq!(java_level(b"<html><b"), None);
    }

    #[test]
    fn a_library_is_told_from_other_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.jar");
        std::fs::write(&path, library(65)).unwrap();
        assert_eq!(level_of_library(&path).unwrap(), 21);
        std::fs::write(&path, "<html>please log in</html>").unwrap();
        assert!(level_of_library(&path).is_err());
        std::fs::write(&path, super::super::launcher::jar().unwrap_or_default()).unwrap();
        assert!(level_of_library(&path).is_err());
    }
}
