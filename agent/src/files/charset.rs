//! Text in the charsets that Java knows by name, with Java's treatment of what a charset cannot express.

use encoding_rs::{DecoderResult, EncoderResult, Encoding};

use super::{FileError, JavaClass, Result};

/// A charset of Java.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Utf8,
    Ascii,
    Latin1,
    Utf16(Utf16),
    Utf32 { little: bool },
    Table(&'static Encoding),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Utf16 {
    /// `UTF-16`: writes big-endian with a mark, reads either by its mark.
    Marked,
    /// `x-UTF-16LE-BOM`
    MarkedLittle,
    Big,
    Little,
}

impl Charset {
    /// What a modern Java uses when nothing else is said.
    pub const UTF_8: Self = Self(Kind::Utf8);

    /// Looks up a name or alias, in any case.
    ///
    /// # Errors
    /// `UnsupportedEncodingException` with the name.
    pub fn for_name(name: &str) -> Result<Self> {
        let kind = match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" | "UNICODE-1-1-UTF-8" => Kind::Utf8,
            "US-ASCII" | "ASCII" | "ISO646-US" | "ANSI_X3.4-1968" | "646" | "ISO_646.IRV:1991"
            | "CP367" => Kind::Ascii,
            "ISO-8859-1" | "ISO8859_1" | "ISO8859-1" | "ISO_8859-1" | "ISO_8859_1" | "LATIN1"
            | "L1" | "8859_1" | "CP819" | "IBM819" => Kind::Latin1,
            "UTF-16" | "UTF_16" | "UTF16" | "UNICODE" | "UNICODEBIG" => Kind::Utf16(Utf16::Marked),
            "UTF-16BE" | "UTF_16BE" | "X-UTF-16BE" | "UNICODEBIGUNMARKED" | "ISO-10646-UCS-2" => {
                Kind::Utf16(Utf16::Big)
            }
            "UTF-16LE" | "UTF_16LE" | "X-UTF-16LE" | "UNICODELITTLEUNMARKED" => {
                Kind::Utf16(Utf16::Little)
            }
            "X-UTF-16LE-BOM" | "UNICODELITTLE" => Kind::Utf16(Utf16::MarkedLittle),
            "UTF-32" | "UTF_32" | "UTF32" | "UTF-32BE" | "UTF_32BE" | "X-UTF-32BE" => {
                Kind::Utf32 { little: false }
            }
            "UTF-32LE" | "UTF_32LE" | "X-UTF-32LE" => Kind::Utf32 { little: true },
            upper => Kind::Table(
                table(upper).ok_or_else(|| FileError::new(JavaClass::UnsupportedEncoding, name))?,
            ),
        };
        Ok(Self(kind))
    }

    /// Java's `String#getBytes`: what the charset cannot express becomes `?`.
    #[must_use]
    pub fn encode(self, text: &str) -> Vec<u8> {
        // Infallible with a replacement; the fallback cannot be reached.
        self.encode_with(text, Some(b'?')).unwrap_or_default()
    }

    /// As `Files#newBufferedWriter` encodes.
    ///
    /// # Errors
    /// `UnmappableCharacterException`.
    pub fn encode_strict(self, text: &str) -> Result<Vec<u8>> {
        self.encode_with(text, None)
    }

    fn encode_with(self, text: &str, replacement: Option<u8>) -> Result<Vec<u8>> {
        let one_byte = |limit: u32| {
            let mut bytes = Vec::with_capacity(text.len());
            for c in text.chars() {
                match u8::try_from(u32::from(c)) {
                    Ok(byte) if u32::from(byte) < limit => bytes.push(byte),
                    _ => bytes.push(replacement.ok_or_else(|| unmappable(c))?),
                }
            }
            Ok(bytes)
        };
        match self.0 {
            Kind::Utf8 => Ok(text.as_bytes().to_vec()),
            Kind::Ascii => one_byte(0x80),
            Kind::Latin1 => one_byte(0x100),
            Kind::Utf16(form) => {
                let mark = match form {
                    // Java writes no mark for empty text.
                    Utf16::Marked | Utf16::MarkedLittle if !text.is_empty() => Some(0xfeff),
                    _ => None,
                };
                let little = matches!(form, Utf16::Little | Utf16::MarkedLittle);
                let units = mark.into_iter().chain(text.encode_utf16());
                Ok(units
                    .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
                    .collect())
            }
            Kind::Utf32 { little } => {
                let points = text.chars().map(u32::from);
                Ok(points
                    .flat_map(
                        |point| if little { point.to_le_bytes() } else { point.to_be_bytes() },
                    )
                    .collect())
            }
            Kind::Table(encoding) => encode_table(encoding, text, replacement),
        }
    }

    /// As `Files#readString` decodes.
    ///
    /// # Errors
    /// `MalformedInputException` on the first bytes that mean nothing.
    pub fn decode(self, bytes: &[u8]) -> Result<String> {
        match self.0 {
            Kind::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(malformed(1)),
            },
            Kind::Ascii if bytes.is_ascii() => {
                Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
            }
            Kind::Ascii => Err(malformed(1)),
            Kind::Latin1 => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
            Kind::Utf16(form) => {
                let (little, rest) = match (form, bytes) {
                    (Utf16::Marked | Utf16::MarkedLittle, [0xfe, 0xff, rest @ ..]) => (false, rest),
                    (Utf16::Marked | Utf16::MarkedLittle, [0xff, 0xfe, rest @ ..]) => (true, rest),
                    (form, rest) => (matches!(form, Utf16::Little | Utf16::MarkedLittle), rest),
                };
                let (pairs, odd) = rest.as_chunks::<2>();
                if !odd.is_empty() {
                    return Err(malformed(1));
                }
                let unit = |pair: &[u8; 2]| {
                    if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) }
                };
                char::decode_utf16(pairs.iter().map(unit))
                    .collect::<std::result::Result<_, _>>()
                    .map_err(|_| malformed(2))
            }
            Kind::Utf32 { little } => {
                let (points, odd) = bytes.as_chunks::<4>();
                if !odd.is_empty() {
                    return Err(malformed(odd.len()));
                }
                let point = |quad: &[u8; 4]| {
                    if little { u32::from_le_bytes(*quad) } else { u32::from_be_bytes(*quad) }
                };
                points
                    .iter()
                    .map(|quad| char::from_u32(point(quad)).ok_or_else(|| malformed(4)))
                    .collect()
            }
            Kind::Table(encoding) => decode_table(encoding, bytes),
        }
    }

    /// As a decoder with `CodingErrorAction.REPLACE`: what means nothing becomes U+FFFD.
    #[must_use]
    pub fn decode_lossy(self, bytes: &[u8]) -> String {
        match self.0 {
            Kind::Ascii => {
                bytes
                    .iter()
                    .map(|byte| {
                        if byte.is_ascii() {
                            char::from(*byte)
                        } else {
                            char::REPLACEMENT_CHARACTER
                        }
                    })
                    .collect()
            }
            Kind::Table(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            // Where wide units are broken, so is everything behind them.
            _ => self.decode(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned()),
        }
    }
}

/// Charsets that are tables, by Java's names. The names that the WHATWG folds into another charset with more
/// characters are left to it: the shared part is the same.
fn table(upper: &str) -> Option<&'static Encoding> {
    let label = match upper {
        "CP1250" | "CP1251" | "CP1252" | "CP1253" | "CP1254" | "CP1255" | "CP1256" | "CP1257"
        | "CP1258" => {
            format!("windows-{}", &upper[2..])
        }
        "MS932" | "WINDOWS-31J" | "SJIS" => "shift_jis".to_owned(),
        "EUCJIS" | "EUC_JP" => "euc-jp".to_owned(),
        "EUC_KR" | "KS_C_5601-1987" | "MS949" | "X-WINDOWS-949" => "euc-kr".to_owned(),
        "MS936" | "X-MSWIN-936" | "CP936" | "GB2312" | "EUC_CN" => "gbk".to_owned(),
        "CP866" => "ibm866".to_owned(),
        "KOI8_R" => "koi8-r".to_owned(),
        "KOI8_U" => "koi8-u".to_owned(),
        "ISO8859_15" | "ISO8859-15" | "LATIN9" | "LATIN-9" => "iso-8859-15".to_owned(),
        other => match other.strip_prefix("ISO8859_") {
            Some(part) => format!("iso-8859-{part}"),
            None => other.to_owned(),
        },
    };
    let encoding = Encoding::for_label(label.as_bytes())?;
    // These WHATWG encodings are no charset to write with.
    let usable = encoding != encoding_rs::REPLACEMENT && encoding != encoding_rs::X_USER_DEFINED;
    usable.then_some(encoding)
}

fn encode_table(
    encoding: &'static Encoding,
    text: &str,
    replacement: Option<u8>,
) -> Result<Vec<u8>> {
    let mut encoder = encoding.new_encoder();
    let mut bytes = Vec::with_capacity(text.len() * 2 + 16);
    let mut rest = text;
    loop {
        let needed = encoder
            .max_buffer_length_from_utf8_without_replacement(rest.len())
            .unwrap_or(rest.len() * 4);
        bytes.reserve(needed.max(16));
        let (result, read) =
            encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut bytes, true);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => return Ok(bytes),
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(c) => bytes.push(replacement.ok_or_else(|| unmappable(c))?),
        }
    }
}

fn decode_table(encoding: &'static Encoding, bytes: &[u8]) -> Result<String> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::new();
    let mut rest = bytes;
    loop {
        let needed = decoder
            .max_utf8_buffer_length_without_replacement(rest.len())
            .unwrap_or(rest.len() * 4);
        text.reserve(needed.max(16));
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        rest = &rest[read..];
        match result {
            DecoderResult::InputEmpty => return Ok(text),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(length, _) => return Err(malformed(length.into())),
        }
    }
}

fn malformed(length: usize) -> FileError {
    FileError::coding(JavaClass::MalformedInput, length)
}

fn unmappable(c: char) -> FileError {
    FileError::coding(JavaClass::UnmappableCharacter, c.len_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_java() {
        let encode = |name: &str, text: &str| Charset::for_name(name).unwrap().encode(text);
        assert_eq!(encode("UTF-8", "é€"), "é€".as_bytes());
        assert_eq!(encode("iso-8859-1", "é€x"), [0xe9, b'?', b'x']);
        assert_eq!(encode("US-ASCII", "aé"), *b"a?");
        assert_eq!(encode("UTF-16", "A"), [0xfe, 0xff, 0, b'A']);
        assert_eq!(encode("UTF-16", ""), [0_u8; 0]);
        assert_eq!(encode("UTF-16LE", "A😀"), [b'A', 0, 0x3d, 0xd8, 0x00, 0xde]);
        assert_eq!(encode("UTF-32", "A"), [0, 0, 0, b'A']);
        assert_eq!(encode("windows-1252", "€漢"), [0x80, b'?']);
        assert_eq!(encode("Cp1251", "Я"), [0xdf]);
        assert_eq!(encode("Shift_JIS", "漢"), [0x8a, 0xbf]);
    }

    #[test]
    fn round_trips_and_refuses() {
        for name in
            ["UTF-8", "UTF-16", "UTF-16BE", "x-UTF-16LE-BOM", "UTF-32LE", "GB18030", "windows-1252"]
        {
            let charset = Charset::for_name(name).unwrap();
            assert_eq!(charset.decode(&charset.encode("Grüße")).unwrap(), "Grüße", "{name}");
        }
        let error = Charset::for_name("no-such").unwrap_err();
        assert_eq!(
            (error.class(), error.to_string().as_str()),
            (JavaClass::UnsupportedEncoding, "no-such")
        );
        assert_eq!(Charset::UTF_8.decode(b"a\xff").unwrap_err().to_string(), "Input length = 1");
        assert_eq!(
            Charset::for_name("US-ASCII").unwrap().encode_strict("é").unwrap_err().class(),
            JavaClass::UnmappableCharacter
        );
    }
}
