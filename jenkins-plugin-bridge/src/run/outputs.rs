//! Outputs of stages: the file that steps write, and the values that later stages take.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::executor::Executor;
use super::log::SharedLog;
use super::stage::{file_name, make};
use crate::error::BridgeError;
use crate::plan::outputs::value::{self, MAX_FILE, Values};
use crate::plan::{Outcome, PlanStage};

/// What a file of outputs holds, at most one byte more than it may. No file is none. Steps may put
/// anything in its place: nothing but a file is read, and nobody waits for a pipe.
fn content(path: &Path) -> Result<Vec<u8>, String> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("PILOTFISH_OUTPUTS cannot be read: {error}")),
    };
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Err("PILOTFISH_OUTPUTS is no file any more".to_owned());
    }
    let mut bytes = Vec::new();
    let mut file = file.take(MAX_FILE as u64 + 1);
    match file.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("PILOTFISH_OUTPUTS cannot be read: {error}")),
    }
}

impl Executor<'_> {
    /// The file into which the steps of a stage write its outputs.
    pub(super) fn outputs_file(&self, stage: &PlanStage) -> PathBuf {
        self.output.join("outputs").join(file_name(&stage.id)).join("outputs")
    }

    /// Forgets what an earlier try, or an earlier run, wrote.
    pub(super) fn forget_outputs(&self, stage: &PlanStage) -> Result<(), BridgeError> {
        let file = self.outputs_file(stage);
        let directory = file.parent().unwrap_or(&self.output);
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(BridgeError::io(format!("empty {}", directory.display()), error))
            }
            _ => make(directory),
        }
    }

    /// What the steps of a stage wrote. A stage that has succeeded must have written all that is not
    /// optional; one that was rehearsed need not.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read_outputs(
        &self,
        stage: &PlanStage,
        must_be_complete: bool,
        log: &SharedLog,
    ) -> Result<Values, String> {
        let file = content(&self.outputs_file(stage))?;
        let values = value::read(&stage.outputs, &file, must_be_complete)?;
        if let Ok(mut log) = log.lock() {
            if let Some((name, _)) = values.iter().find(|(_, value)| log.has_secret(value)) {
                return Err(format!(
                    "`{name}` has the value of a credential in it: outputs are shown to everybody"
                ));
            }
            for (name, value) in &values {
                log.say(&format!("output {name} = {value}"));
            }
        }
        Ok(values)
    }

    /// The variables of a stage whose values are outputs of earlier ones.
    ///
    /// # Errors
    /// A value that is missing or refused.
    pub(super) fn inputs(&self, stage: &PlanStage) -> Result<BTreeMap<String, String>, String> {
        let mut variables = BTreeMap::new();
        for (variable, input) in &stage.inputs {
            match self.output_of(&input.stage, &input.output) {
                Some(value) => {
                    value::check_input(variable, input, &value)?;
                    variables.insert(variable.clone(), value);
                }
                None if input.required => {
                    let how = self.result_of(&input.stage).map_or("did not run", Outcome::word);
                    return Err(format!(
                        "{variable} takes the output `{}` of the stage `{}`, which gave none ({how})",
                        input.output, input.stage
                    ));
                }
                None => {}
            }
        }
        Ok(variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_short_file_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("outputs");
        assert_eq!(content(&path), Ok(Vec::new()), "no file is no output");
        std::fs::write(&path, "a=1\n").unwrap();
        assert_eq!(content(&path), Ok(b"a=1\n".to_vec()));
        std::fs::write(&path, vec![b'x'; 4 * MAX_FILE]).unwrap();
        assert_eq!(content(&path).unwrap().len(), MAX_FILE + 1);
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(content(&link).unwrap_err().contains("cannot be read"));
        assert!(content(place.path()).unwrap_err().contains("no file any more"));
        let pipe = place.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(content(&pipe).unwrap_err().contains("no file any more"));
    }
}
