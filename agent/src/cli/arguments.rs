//! From words to given options, as the args4j parser of the Java agent reads them: single-dash long
//! names, the value in the next word, `@FILE` replaced by the file's lines. Options of our own, with two
//! dashes, may have their value behind `=` too.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::mistake::Mistake;
use super::options::{self, Opt};
use crate::secret::Secret;

/// Largest `@FILE`, in bytes: the limit that the Java agent has for `-cert @FILE`.
const LARGEST_FILE: u64 = 65_536;

/// Where a word comes from. Displays as nothing for arguments, else as ` (from …)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The argument vector.
    Argument,
    /// The variable `REMOTING_OPTS`.
    RemotingOptions,
    /// A variable of the container entry point.
    Variable(&'static str),
    /// A line of an `@FILE`.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument => Ok(()),
            Self::RemotingOptions => f.write_str(" (from REMOTING_OPTS)"),
            Self::Variable(name) => write!(f, " (from {name})"),
            Self::File(path) => write!(f, " (from {})", path.display()),
        }
    }
}

/// One word with its origin. `Debug` shows no text, which may be a secret.
#[derive(Clone)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) origin: Origin,
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word(****{})", self.origin)
    }
}

/// The options that were given, each with its values in order (one empty value for each occurrence of
/// an option without value), and what stood between them.
#[derive(Debug, Default)]
pub(super) struct Given {
    options: BTreeMap<Opt, Vec<Word>>,
    pub(super) positional: Vec<Word>,
}

impl Given {
    pub(super) fn has(&self, option: Opt) -> bool {
        self.options.contains_key(&option)
    }

    /// All values, in order.
    pub(super) fn all(&self, option: Opt) -> &[Word] {
        self.options.get(&option).map_or(&[], Vec::as_slice)
    }

    /// The value that counts: the last one.
    pub(super) fn last(&self, option: Opt) -> Option<&Word> {
        self.all(option).last()
    }

    pub(super) fn add(&mut self, option: Opt, word: Word) {
        self.options.entry(option).or_default().push(word);
    }

    /// Takes a misspelt option for what was most likely meant, so that nothing is reported that only
    /// follows from the misspelling, and that its value is known to be a secret. Not for the options
    /// that end the program with success.
    fn add_misspelt(&mut self, option: Opt, value: Option<String>, origin: &Origin) {
        let ends = matches!(option, Opt::Help | Opt::Version | Opt::ProductVersion);
        if let (false, Some(text)) = (ends, value) {
            self.add(option, Word { text, origin: origin.clone() });
        }
    }

    pub(super) fn options(&self) -> impl Iterator<Item = (Opt, &Word)> {
        self.options.iter().filter_map(|(&option, words)| Some((option, words.last()?)))
    }

    /// Every secret among the words: values of secret options, and of the arguments that are no
    /// options all but a second one, which is the node's name.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let values = self.options.iter().filter(|(option, _)| option.spec().secret);
        let values = values.flat_map(|(&option, words)| {
            words.iter().map(move |word| match option {
                Opt::WebSocketHeader | Opt::OtlpHeader => {
                    word.text.split_once('=').map_or(word.text.as_str(), |(_, value)| value)
                }
                _ => word.text.as_str(),
            })
        });
        let positional = self.positional.iter().enumerate();
        let positional = positional.filter(|(at, _)| *at != 1).map(|(_, word)| word.text.as_str());
        values.chain(positional).filter(|value| !value.is_empty()).map(Secret::new).collect()
    }
}

/// Sorts words into options and the rest.
pub(super) fn read(words: Vec<Word>, mistakes: &mut Vec<Mistake>) -> Given {
    let mut given = Given::default();
    let mut options_end = false;
    let mut words = expand(words, mistakes).into_iter().peekable();
    while let Some(word) = words.next() {
        if options_end || !word.text.starts_with('-') || word.text == "-" {
            given.positional.push(word);
        } else if word.text == "--" {
            options_end = true;
        } else if let Some(spec) = options::named(&word.text) {
            let Some(value) = spec.value else {
                given.add(spec.option, Word { text: String::new(), origin: word.origin });
                continue;
            };
            match words.next_if(|next| options::named(&next.text).is_none()) {
                Some(next) => given.add(spec.option, next),
                None => mistakes.push(Mistake::MissingValue {
                    option: spec.name,
                    value,
                    origin: word.origin,
                }),
            }
        } else {
            if let Some((spec, value)) = options::with_value(&word.text) {
                given.add(spec.option, Word { text: value.to_owned(), origin: word.origin });
                continue;
            }
            let probably = options::probably(&word.text);
            let (name, value) = match word.text.split_once('=') {
                // What follows the `=` may be a secret: it is not shown.
                Some((name, value)) => (format!("{name}=…"), Some(value.to_owned())),
                None => (word.text.clone(), None),
            };
            if let Some(spec) = probably {
                let mut next = || words.next_if(|next| !next.text.starts_with('-'));
                let value = match (spec.value, value) {
                    (None, _) => Some(String::new()),
                    (Some(_), Some(value)) => Some(value),
                    (Some(_), None) => next().map(|word| word.text),
                };
                given.add_misspelt(spec.option, value, &word.origin);
            }
            mistakes.push(Mistake::UnknownOption { probably, word: name, origin: word.origin });
        }
    }
    given
}

/// Replaces each `@FILE` by the lines of the file. Behind an option that takes a value the file must hold
/// one line; behind `-cert` it stays, as that option reads its file itself.
fn expand(words: Vec<Word>, mistakes: &mut Vec<Mistake>) -> Vec<Word> {
    let mut expanded: Vec<Word> = Vec::with_capacity(words.len());
    for word in words {
        let value_of = expanded
            .last()
            .and_then(|before| options::named(&before.text))
            .filter(|spec| spec.value.is_some());
        let path = match word.text.strip_prefix('@') {
            Some(path) if value_of.is_none_or(|spec| spec.option != Opt::Cert) => path,
            _ => {
                expanded.push(word);
                continue;
            }
        };
        let path = PathBuf::from(path);
        let text = match read_file(&path) {
            Ok(text) => text,
            Err(problem) => {
                let option = value_of.map(|spec| spec.name);
                mistakes.push(Mistake::File { path, option, problem });
                // Leaves no option behind that would then miss its value.
                if value_of.is_some() {
                    expanded.pop();
                }
                continue;
            }
        };
        let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        if let Some(spec) = value_of {
            let count = lines.clone().count();
            match (count, lines.next()) {
                (1, Some(line)) => {
                    expanded.push(Word { text: line.to_owned(), origin: Origin::File(path) });
                }
                _ => {
                    expanded.pop();
                    mistakes.push(Mistake::ValueFile { option: spec.name, path, lines: count });
                }
            }
        } else {
            expanded.extend(
                lines
                    .map(|line| Word { text: line.to_owned(), origin: Origin::File(path.clone()) }),
            );
        }
    }
    expanded
}

/// Reads a small text file; the error says what to do.
pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(format!("it is larger than {LARGEST_FILE} bytes: name another file"));
    }
    String::from_utf8(bytes)
        .map_err(|_| "it is not a UTF-8 text file: name another file".to_owned())
}
