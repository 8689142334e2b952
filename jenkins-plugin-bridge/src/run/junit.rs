//! JUnit XML: read from stages, merged into one file.

use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use serde::{Deserialize, Serialize};

/// The most elements inside each other.
const MAX_DEPTH: usize = 64;
/// The most tests of one file.
const MAX_TESTS: usize = 200_000;
/// The most bytes of the text of one failure.
const MAX_TEXT: usize = 256 * 1024;

/// How many tests there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestTotals {
    /// All of them.
    pub total: usize,
    /// Failures and errors.
    pub failed: usize,
    /// Not run.
    pub skipped: usize,
}

/// A suite of tests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TestSuite {
    /// Its name.
    pub name: String,
    /// Its tests.
    pub tests: Vec<TestCase>,
}

/// A test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestCase {
    /// Its class, file or module.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How it ended.
    pub status: TestStatus,
    /// What it said.
    pub message: String,
    /// Its output.
    pub text: String,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestStatus {
    /// Well.
    Passed,
    /// An expectation was not met.
    Failed,
    /// It broke.
    Error,
    /// It was not run.
    Skipped,
}

impl TestTotals {
    /// Counts the tests of suites.
    #[must_use]
    pub fn of(suites: &[TestSuite]) -> Self {
        let mut totals = Self::default();
        for test in suites.iter().flat_map(|suite| &suite.tests) {
            totals.total += 1;
            match test.status {
                TestStatus::Failed | TestStatus::Error => totals.failed += 1,
                TestStatus::Skipped => totals.skipped += 1,
                TestStatus::Passed => {}
            }
        }
        totals
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

#[derive(Default)]
struct Work {
    suites: Vec<TestSuite>,
    /// Places of the suites that are open, in `suites`.
    open: Vec<usize>,
    test: Option<TestCase>,
    /// Text of a failure is being read.
    in_failure: bool,
    depth: usize,
    tests: usize,
}

/// Reads a file. Suites inside suites come out one after the other.
///
/// # Errors
/// What is wrong, and at which byte.
pub fn parse(bytes: &[u8]) -> Result<Vec<TestSuite>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    let mut work = Work::default();
    let mut seen = false;
    loop {
        let at = reader.buffer_position();
        let wrong = |why: String| format!("at byte {at}: {why}");
        match reader.read_event().map_err(|error| wrong(error.to_string()))? {
            Event::Start(start) => {
                if work.depth == 0 && !matches!(start.name().as_ref(), "testsuites" | "testsuite") {
                    return Err(wrong("the root is neither testsuites nor testsuite".into()));
                }
                seen = true;
                work.depth += 1;
                if work.depth > MAX_DEPTH {
                    return Err(wrong(format!("over {MAX_DEPTH} elements inside each other")));
                }
                work.open(&start).map_err(wrong)?;
            }
            Event::Empty(start) => {
                seen = true;
                work.open(&start).map_err(wrong)?;
                let name = start.name().as_ref().to_owned();
                work.close(&name);
            }
            Event::End(end) => {
                work.depth = work.depth.saturating_sub(1);
                let name = end.name().as_ref().to_owned();
                work.close(&name);
            }
            Event::Text(text) => work.text(&text.xml10_content()),
            Event::CData(text) => work.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().ok().flatten().map(String::from);
                let name: &str = &reference;
                match character.as_deref().or_else(|| resolve_predefined_entity(name)) {
                    Some(text) => work.text(text),
                    None => return Err(wrong(format!("the entity &{name}; is not known"))),
                }
            }
            Event::Eof if work.depth > 0 || !seen => {
                return Err(wrong("the file ends too early".into()));
            }
            Event::Eof => return Ok(work.suites),
            _ => {}
        }
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<String, String> {
    match start.try_get_attribute(name).map_err(|error| error.to_string())? {
        Some(found) => found
            .normalized_value(XmlVersion::Implicit1_0)
            .map(std::borrow::Cow::into_owned)
            .map_err(|error| error.to_string()),
        None => Ok(String::new()),
    }
}

impl Work {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        match start.name().as_ref() {
            "testsuite" => {
                self.open.push(self.suites.len());
                self.suites.push(TestSuite { name: attribute(start, "name")?, tests: Vec::new() });
            }
            "testcase" => {
                self.tests += 1;
                if self.tests > MAX_TESTS {
                    return Err(format!("over {MAX_TESTS} tests"));
                }
                let seconds = attribute(start, "time")?.replace(',', "").parse().unwrap_or(0.0);
                self.test = Some(TestCase {
                    class: attribute(start, "classname")?,
                    name: attribute(start, "name")?,
                    seconds: if f64::is_finite(seconds) { seconds } else { 0.0 },
                    status: TestStatus::Passed,
                    message: String::new(),
                    text: String::new(),
                });
            }
            kind @ ("failure" | "error" | "skipped") => {
                let message = attribute(start, "message")?;
                if let Some(test) = &mut self.test {
                    test.status = match kind {
                        "failure" => TestStatus::Failed,
                        "error" => TestStatus::Error,
                        _ => TestStatus::Skipped,
                    };
                    test.message = message;
                    self.in_failure = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let (true, Some(test)) = (self.in_failure, &mut self.test) {
            let room = MAX_TEXT.saturating_sub(test.text.len());
            test.text.extend(text.chars().take(room));
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "testsuite" => {
                self.open.pop();
            }
            "testcase" => {
                if let Some(test) = self.test.take() {
                    // A test outside a suite gets one of its own.
                    if self.open.is_empty() {
                        self.open.push(self.suites.len());
                        self.suites.push(TestSuite::default());
                    }
                    if let Some(suite) = self.open.last().and_then(|at| self.suites.get_mut(*at)) {
                        suite.tests.push(test);
                    }
                }
            }
            "failure" | "error" | "skipped" => self.in_failure = false,
            _ => {}
        }
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' => safe.push_str("&#10;"),
            '\t' => safe.push_str("&#9;"),
            // XML 1.0 has no place for other control characters.
            other if other.is_control() || matches!(other, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}');
            }
            other => safe.push(other),
        }
    }
    safe
}

/// All suites in one file; each is named after its stage first.
#[must_use]
pub fn merged(stages: &[(String, Vec<TestSuite>)]) -> String {
    let mut totals = TestTotals::default();
    for (_, suites) in stages {
        totals = totals.plus(TestTotals::of(suites));
    }
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n",
        totals.total, totals.failed, totals.skipped
    );
    for (stage, suites) in stages {
        for suite in suites.iter().filter(|suite| !suite.tests.is_empty()) {
            let own = TestTotals::of(std::slice::from_ref(suite));
            let seconds: f64 = suite.tests.iter().map(|test| test.seconds).sum();
            let _ = writeln!(
                xml,
                "  <testsuite name=\"{}: {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">",
                escaped(stage),
                escaped(&suite.name),
                own.total,
                own.failed,
                own.skipped
            );
            for test in &suite.tests {
                let _ = write!(
                    xml,
                    "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                    escaped(&test.class),
                    escaped(&test.name),
                    test.seconds
                );
                let element = match test.status {
                    TestStatus::Passed => {
                        xml.push_str("/>\n");
                        continue;
                    }
                    TestStatus::Failed => "failure",
                    TestStatus::Error => "error",
                    TestStatus::Skipped => "skipped",
                };
                let _ = writeln!(
                    xml,
                    "><{element} message=\"{}\">{}</{element}></testcase>",
                    escaped(&test.message),
                    escaped(&test.text)
                );
            }
            xml.push_str("  </testsuite>\n");
        }
    }
    xml.push_str("</testsuites>\n");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_merged() {
        let suites = parse(
            br#"<?xml version="1.0"?><testsuites><testsuite name="a">
              <testcase classname="c" name="x &lt;1&gt;" time="1,000.5"/>
              <testcase classname="c" name="y"><failure message="no &amp; no">trace &#65;<![CDATA[<b>]]></failure></testcase>
              <testsuite name="b"><testcase name="z"><skipped/></testcase></testsuite>
              <testcase name="w"><error>boom</error></testcase>
            </testsuite></testsuites>"#,
        )
        .unwrap();
        assert_eq!(TestTotals::of(&suites), TestTotals { total: 4, failed: 2, skipped: 1 });
        assert_eq!(suites[0].tests[0].seconds, 1000.5);
        assert_eq!(suites[0].tests[1].message, "no & no");
        assert_eq!(suites[0].tests[1].text, "trace A<b>");
        let xml = merged(&[("unit".into(), suites.clone())]);
        let again = parse(xml.as_bytes()).unwrap();
        assert_eq!(TestTotals::of(&again), TestTotals::of(&suites));
        assert_eq!(again[0].tests[0].name, "x <1>");
        assert_eq!(again[0].name, "unit: a");
    }

    #[test]
    fn what_is_no_junit_is_explained() {
        for (bytes, why) in [
            (&b"<html></html>"[..], "neither"),
            (b"<testsuite>", "too early"),
            (b"", "too early"),
            (b"<testsuite>&nosuch;</testsuite>", "nosuch"),
            (b"\xff", "UTF-8"),
        ] {
            assert!(parse(bytes).unwrap_err().contains(why), "{bytes:?}");
        }
        let deep = "<testsuite>".repeat(100);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("inside each other"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_merging(name in "\\PC{0,20}", text in "\\PC{0,40}") {
            let test = TestCase {
                class: name.clone(), name: name.clone(), seconds: 0.0,
                status: TestStatus::Failed, message: text.clone(), text: text.clone(),
            };
            let suites = vec![TestSuite { name, tests: vec![test.clone()] }];
            let again = parse(merged(&[("s".into(), suites)]).as_bytes()).unwrap();
            proptest::prop_assert_eq!(&again[0].tests[0], &test);
        }
    }
}
