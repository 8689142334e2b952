//! From a flavour to the files of its image.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::archive::Image;
use crate::contents::{self, Package};
use crate::debian::{self, Source};
use crate::error::Error;
use crate::flavour::{Flavour, Programs};
use crate::keystore;
use crate::provenance::{Made, statement};

/// What an image is made from.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// Which image.
    pub flavour: Flavour,
    /// The repository.
    pub root: &'a Path,
    /// Our program, and busybox.
    pub programs: Programs<'a>,
    /// From where Debian comes.
    pub debian: &'a Source,
    /// Version in the tag.
    pub version: &'a str,
    /// The commit.
    pub revision: &'a str,
    /// The time of everything in it, in seconds since 1970.
    pub epoch: u64,
}

/// A finished image.
#[derive(Debug)]
pub struct Built {
    /// Its name with its tag.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its layers as they are stored and sent.
    pub size: u64,
    /// The archive.
    pub archive: PathBuf,
}

impl Recipe<'_> {
    /// Writes the archive, the list of contents and the provenance into a directory.
    ///
    /// # Errors
    /// Those of files and of mmdebstrap.
    pub fn build(&self, dir: &Path) -> Result<Built, Error> {
        fs::create_dir_all(dir).map_err(Error::at(dir))?;
        let (name, suffix) = self.flavour.image();
        let name = format!("{name}:{}{suffix}", self.version);
        let mut image = Image::new(self.flavour.config(self.version, self.revision), self.epoch);
        let mut packages = contents::crates(self.root, self.flavour.crate_name())?;
        if let Some(wanted) = self.flavour.packages() {
            packages.extend(self.debian_layer(&mut image, wanted)?);
        }
        let layer = self.flavour.layer(self.programs);
        image.layer("pilotfish", |writer| layer.write_to(writer, self.epoch))?;
        let size = image.packed_size();
        let archive = dir.join(format!("{}.tar", self.flavour.name()));
        let digest = image.write(&archive, &name)?;
        let document = contents::document(&name, &digest, self.epoch, &packages);
        let made = statement(&Made {
            image: &name,
            digest: &digest,
            flavour: self.flavour,
            revision: self.revision,
            program: &digest_of(self.programs.own)?,
            debian: self.flavour.packages().map(|_| self.debian),
            epoch: self.epoch,
        });
        for (kind, value) in [("spdx", document), ("provenance", made)] {
            let path = dir.join(format!("{}.{kind}.json", self.flavour.name()));
            let text = format!("{}\n", serde_json::to_string_pretty(&value)?);
            fs::write(&path, text).map_err(Error::at(&path))?;
        }
        Ok(Built { name, digest, size, archive })
    }

    fn debian_layer(&self, image: &mut Image, wanted: &[&str]) -> Result<Vec<Package>, Error> {
        let dir = tempfile::tempdir().map_err(Error::at(Path::new("temporary directory")))?;
        let tar = dir.path().join("debian.tar");
        debian::system(self.debian, wanted, self.epoch, &tar)?;
        keystore::set_times(&tar, self.epoch)?;
        let packages = contents::debian(&debian::status(&tar)?);
        image.layer(&format!("mmdebstrap {}", self.debian.suite), |mut writer| {
            let mut file = File::open(&tar).map_err(Error::at(&tar))?;
            std::io::copy(&mut file, &mut writer).map(drop).map_err(Error::at(&tar))
        })?;
        Ok(packages)
    }
}

fn digest_of(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(Error::at(path))?;
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}
