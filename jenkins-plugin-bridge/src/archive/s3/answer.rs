//! What a bucket answers, and what it means when it refuses.

use std::time::SystemTime;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Elements inside each other: a list of uploads has four.
const DEPTH: usize = 16;
/// Elements of one answer: a page of a list names a thousand objects, with about ten elements each.
const ELEMENTS: usize = 32_768;
/// The most characters of foreign text in a message.
const FOREIGN_CHARACTERS: usize = 200;
/// Seconds by which clocks may differ before it is told. Requests are refused after 900.
const SKEW: i64 = 300;

/// An element of an answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its name, without that of its namespace.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Those in it.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads an answer; the root of it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            if matches!(event, Event::Start(_) | Event::Empty(_)) {
                elements += 1;
                if elements > ELEMENTS || open.len() > DEPTH {
                    return Err(format!("more than {ELEMENTS} elements, or {DEPTH} in each other"));
                }
            }
            let Some(innermost) = open.last_mut() else { return Err("it ends twice".to_owned()) };
            match event {
                Event::Start(start) => open
                    .push(Self { name: start.local_name().as_ref().to_owned(), ..Self::default() }),
                Event::Empty(start) => innermost
                    .children
                    .push(Self { name: start.local_name().as_ref().to_owned(), ..Self::default() }),
                Event::End(_) => {
                    let done = open.pop().unwrap_or_default();
                    open.last_mut().ok_or("it ends twice")?.children.push(done);
                }
                Event::Text(text) => {
                    innermost.text.push_str(&text.xml_content(XmlVersion::Implicit1_0));
                }
                Event::CData(data) => {
                    innermost.text.push_str(&data.xml_content(XmlVersion::Implicit1_0));
                }
                Event::GeneralRef(reference) => {
                    let character =
                        reference.resolve_char_ref().map_err(|error| error.to_string())?;
                    match (character, resolve_predefined_entity(&reference)) {
                        (Some(character), _) => innermost.text.push(character),
                        (None, Some(text)) => innermost.text.push_str(text),
                        (None, None) => return Err("an entity that XML does not define".to_owned()),
                    }
                }
                Event::DocType(_) => return Err("a document type".to_owned()),
                Event::Eof => break,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            }
        }
        match (open.len(), open.pop().unwrap_or_default().children.pop()) {
            (1, Some(root)) => Ok(root),
            _ => Err("it ends too early".to_owned()),
        }
    }

    /// The text of the first element of this name in it; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        let found = self.children.iter().find(|one| one.name == name);
        found.map_or("", |one| one.text.as_str())
    }

    /// The elements of this name in it.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |one| one.name == name)
    }
}

/// An answer that is no success.
#[derive(Debug, Default)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What it is, as `NoSuchBucket`.
    pub code: String,
    /// The same in words.
    pub message: String,
    /// The region that the bucket is in, where it says so.
    pub region: String,
    /// Seconds that the clock there is ahead of ours.
    pub skew: i64,
}

impl Refusal {
    /// What an answer says.
    pub fn of(status: u16, headers: &reqwest::header::HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let skew = header("date").and_then(|date| skew(date, SystemTime::now())).unwrap_or(0);
        let mut refusal = Self {
            status,
            skew,
            region: foreign(header("x-amz-bucket-region")),
            ..Self::default()
        };
        if let Some(error) = Element::read(body).ok().filter(|one| one.name == "Error") {
            refusal.code = foreign(Some(error.get("Code")));
            refusal.message = foreign(Some(error.get("Message")));
            if refusal.region.is_empty() {
                refusal.region = foreign(Some(error.get("Region")));
            }
            if refusal.region.is_empty() {
                refusal.region = expected(&refusal.message).to_owned();
            }
        }
        refusal
    }

    /// Whether another try may go better.
    pub fn is_passing(&self) -> bool {
        matches!(self.status, 429 | 500 | 502..=504)
            || matches!(self.code.as_str(), "SlowDown" | "RequestTimeout" | "InternalError")
    }

    /// Whether other access keys may go better.
    pub fn is_about_keys(&self) -> bool {
        matches!(
            self.code.as_str(),
            "InvalidAccessKeyId"
                | "XAdminUserNotFound"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
        )
    }

    /// What it said, and what to do next.
    pub fn reason(&self, access_key: &str, bucket: &str, prefix: &str) -> String {
        let said = match (self.code.as_str(), self.message.as_str()) {
            ("", _) => format!("it answered {}, and not as S3 does", self.status),
            (code, "") => format!("{code} ({})", self.status),
            (code, message) => {
                format!("{code} ({}): {}", self.status, message.trim_end_matches('.'))
            }
        };
        format!("{said}. {}", self.next(access_key, bucket, prefix))
    }

    fn next(&self, access_key: &str, bucket: &str, prefix: &str) -> String {
        let about_time = matches!(self.code.as_str(), "RequestTimeTooSkewed" | "RequestExpired")
            || self.message.contains("expired")
            || self.message.contains("not yet valid");
        if matches!(self.status, 400 | 403) && (about_time || self.skew.abs() >= SKEW) {
            if self.skew.abs() >= SKEW {
                let direction = if self.skew > 0 { "behind" } else { "ahead of" };
                return format!(
                    "The clock of this machine is {} s {direction} the clock there: set it right",
                    self.skew.abs()
                );
            }
            if !self.code.contains("Token") {
                return "Compare the clock of this machine with the right time".to_owned();
            }
        }
        match self.code.as_str() {
            "NoSuchBucket" => format!("Make the bucket {bucket}, or name another one"),
            "InvalidBucketName" => {
                format!("{bucket} cannot be the name of a bucket there: name another one")
            }
            // The second one is versitygw's.
            "InvalidAccessKeyId" | "XAdminUserNotFound" => {
                format!("The access key {access_key} is not known there: see to access_key_file")
            }
            "SignatureDoesNotMatch" => format!(
                "The secret is not that of the access key {access_key}: see to secret_key_file, and that nothing \
                 between here and there changes the name of the host"
            ),
            "ExpiredToken" | "InvalidToken" => {
                "The token of the session is over: put a new one in its place".to_owned()
            }
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => format!(
                "Grant the access key {access_key} s3:ListBucket and s3:ListBucketMultipartUploads on {bucket}, \
                 and s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on {bucket}/{prefix}*"
            ),
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "AuthorizationQueryParametersError"
            | "IllegalLocationConstraintException"
                if !self.region.is_empty() =>
            {
                format!("The bucket is in {}: set region and endpoint accordingly", self.region)
            }
            "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => {
                "Make room there: remove what is old, or raise the quota".to_owned()
            }
            _ if matches!(self.status, 300..=399) && !self.region.is_empty() => {
                format!("The bucket is in {}: set region and endpoint accordingly", self.region)
            }
            "" => "Check endpoint, bucket, and what stands in between".to_owned(),
            _ if self.is_passing() => "It is busy".to_owned(),
            _ => "Check endpoint, region and bucket".to_owned(),
        }
    }
}

/// The region of a message such as `the region "a" is wrong; expecting "b"`: not all name it elsewhere.
fn expected(message: &str) -> &str {
    let after = message.split_once("expecting ").map_or("", |(_, after)| after);
    let quoted = after.strip_prefix(['\'', '"']).and_then(|rest| rest.split_once(['\'', '"']));
    let is_region = |text: &&str| {
        !text.is_empty() && text.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'-')
    };
    quoted.map(|(text, _)| text).filter(is_region).unwrap_or_default()
}

/// How many seconds a clock is ahead, by the `Date` of its answer.
fn skew(date: &str, now: SystemTime) -> Option<i64> {
    let date = date.trim().strip_suffix("GMT").map(|start| format!("{start}+0000"))?;
    let date = OffsetDateTime::parse(&date, &Rfc2822).ok()?;
    Some((date - OffsetDateTime::from(now)).whole_seconds())
}

/// Text of somebody else, fit for a message.
fn foreign(text: Option<&str>) -> String {
    let text = text.unwrap_or_default().trim();
    text.chars().filter(|one| !one.is_control()).take(FOREIGN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read_whatever_their_namespace() {
        let text = "<?xml version=\"1.0\"?>\n<a:List xmlns:a='http://s3.amazonaws.com/doc/2006-03-01/'>\
            <a:Contents><a:Key>x&amp;y&#x41;</a:Key><Size/></a:Contents><Contents><Key><![CDATA[z<]]></Key>\
            </Contents></a:List>";
        let root = Element::read(text.as_bytes()).unwrap();
        let keys: Vec<&str> = root.all("Contents").map(|one| one.get("Key")).collect();
        assert_eq!((root.name.as_str(), keys), ("List", vec!["x&yA", "z<"]));
        assert_eq!(root.get("IsTruncated"), "");
        let deep = "<a>".repeat(20);
        for wrong in
            ["", "text", "<a>", "<a></b>", "<!DOCTYPE a><a/>", "<a>&lol;</a>", "</a>", &deep]
        {
            assert!(Element::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let many = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS));
        assert!(Element::read(many.as_bytes()).unwrap_err().contains("more than 32768 elements"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_an_answer_or_not(text in "(<[a-c/]{0,3}>|&[a-z#0-9]{0,3};|[ -~]){0,40}") {
            let _ = Element::read(text.as_bytes());
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let all = [
            (404, "NoSuchBucket", "The specified bucket does not exist.", 0, ""),
            (403, "InvalidAccessKeyId", "", 0, ""),
            (404, "XAdminUserNotFound", "No user exists with the provided access key ID.", 0, ""),
            (403, "SignatureDoesNotMatch", "no match", 0, ""),
            (403, "AccessDenied", "Access Denied", 0, ""),
            (403, "AccessDenied", "Request has expired", 1000, ""),
            (403, "RequestTimeTooSkewed", "The difference is too large.", -1200, ""),
            (403, "AccessDenied", "Request has expired", 0, ""),
            (400, "ExpiredToken", "The provided token has expired.", 0, ""),
            (301, "PermanentRedirect", "Use another endpoint.", 0, "eu-west-1"),
            (400, "AuthorizationQueryParametersError", "wrong region", 0, "eu-west-1"),
            (502, "", "", 0, ""),
            (503, "SlowDown", "Reduce your request rate.", 0, ""),
        ];
        let told: Vec<String> = all
            .into_iter()
            .map(|(status, code, message, skew, region)| {
                let (code, message, region) = (code.into(), message.into(), region.into());
                let refusal = Refusal { status, code, message, region, skew };
                refusal.reason("AKID", "ci", "pilotfish/")
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn the_region_of_a_bucket_is_read_from_the_refusal() {
        let told = |rest: &str| {
            let body =
                format!("<Error><Code>AuthorizationQueryParametersError</Code>{rest}</Error>");
            let headers = reqwest::header::HeaderMap::new();
            Refusal::of(400, &headers, body.as_bytes()).reason("AKID", "ci", "")
        };
        let words =
            "<Message>the region &#34;a&#34; is wrong; expecting &#34;eu-west-1&#34;</Message>";
        for rest in [words, "<Message>wrong</Message><Region>eu-west-1</Region>"] {
            assert!(
                told(rest).contains("The bucket is in eu-west-1: set region"),
                "{}",
                told(rest)
            );
        }
        for words in ["expecting", "expecting eu-west-1", "expecting 'a b'", "expecting ''"] {
            let told = told(&format!("<Message>{words}</Message>"));
            assert!(!told.contains("The bucket is in"), "{told}");
        }
    }

    #[test]
    fn clocks_are_compared() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        assert_eq!(skew("Sun, 09 Sep 2001 01:56:40 GMT", now), Some(600));
        assert_eq!(skew("Sun, 09 Sep 2001 01:41:40 GMT", now), Some(-300));
        assert_eq!(skew("yesterday", now), None);
    }
}
