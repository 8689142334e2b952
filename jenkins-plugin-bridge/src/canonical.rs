//! JSON with sorted keys and no spaces: the same value is always the same text, whatever order its
//! type or its map keeps. Digests are made of it.
//!
//! It is written in one pass. An object's members are written as they come; where they did not come in
//! order, they are put in order at its end. Nothing is built that is only taken apart again, and what is
//! needed to sort is kept from one object to the next.

use std::cmp::Ordering;
use std::ops::Range;

use serde::ser::{self, Serialize};
use serde_json::Error;

/// The canonical JSON of a value.
///
/// # Errors
/// What JSON has no form for, such as a map whose keys are no text, or what the value itself refuses.
pub(crate) fn to_canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let mut output = Output::default();
    value.serialize(Writer { output: &mut output })?;
    String::from_utf8(output.text).map_err(ser::Error::custom)
}

#[derive(Default)]
struct Output {
    text: Vec<u8>,
    /// The members so far of all objects that are not at their end, inner ones last.
    members: Vec<Member>,
    /// Room for the members of an object that are put in order.
    spare: Vec<u8>,
}

/// Where a member stands in the text.
struct Member {
    /// Its key, without the quotes: they would come after a space and an exclamation mark.
    key: Range<usize>,
    /// The key has another place as it is written than as it is meant.
    escaped: bool,
    /// All of it, with the quotes.
    whole: Range<usize>,
}

struct Writer<'t> {
    output: &'t mut Output,
}

/// An array that is being written.
struct Items<'t> {
    output: &'t mut Output,
    empty: bool,
    end: &'static [u8],
}

/// An object that is being written: its members so far are those from `first` on.
struct Members<'t> {
    output: &'t mut Output,
    first: usize,
    end: &'static [u8],
}

impl Output {
    fn plain<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(&mut self.text, value)
    }

    /// How the keys of two members compare as text.
    fn compare(&self, one: &Member, other: &Member) -> Ordering {
        let bare = |member: &Member| self.text.get(member.key.clone()).unwrap_or_default();
        if one.escaped || other.escaped {
            let meant = |member: &Member| {
                let quoted = [b"\"", bare(member), b"\""].concat();
                serde_json::from_slice::<String>(&quoted).unwrap_or_default()
            };
            return meant(one).cmp(&meant(other));
        }
        bare(one).cmp(bare(other))
    }
}

impl<'t> Writer<'t> {
    fn plain<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.output.plain(value)
    }

    fn items(self, end: &'static [u8]) -> Items<'t> {
        self.output.text.push(b'[');
        Items { output: self.output, empty: true, end }
    }

    fn members(self, end: &'static [u8]) -> Members<'t> {
        self.output.text.push(b'{');
        let first = self.output.members.len();
        Members { output: self.output, first, end }
    }

    fn variant(&mut self, name: &str) -> Result<(), Error> {
        self.output.text.push(b'{');
        self.output.plain(name)?;
        self.output.text.push(b':');
        Ok(())
    }
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::replace(&mut self.empty, false) {
            self.output.text.push(b',');
        }
        value.serialize(Writer { output: self.output })
    }

    fn finish(self) {
        self.output.text.extend_from_slice(self.end);
    }
}

impl Members<'_> {
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let output = &mut *self.output;
        if output.members.len() > self.first {
            output.text.push(b',');
        }
        let start = output.text.len();
        output.plain(key)?;
        match output.text.get(start) {
            Some(b'"') => {}
            // A number or a truth value: as a key it is text.
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                output.text.insert(start, b'"');
                output.text.push(b'"');
            }
            _ => return Err(ser::Error::custom("the key of a map must be text")),
        }
        let end = output.text.len();
        output.text.push(b':');
        let key = start + 1..end - 1;
        let escaped = output.text.get(key.clone()).is_some_and(|key| key.contains(&b'\\'));
        output.members.push(Member { key, escaped, whole: start..end });
        Ok(())
    }

    /// The key of a field of a type: most are plain words, which stand in JSON as they are.
    fn field(&mut self, name: &'static str) -> Result<(), Error> {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return self.key(name);
        }
        let text = &mut self.output.text;
        if self.output.members.len() > self.first {
            text.push(b',');
        }
        let start = text.len();
        text.push(b'"');
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"\":");
        let key = start + 1..start + 1 + name.len();
        let whole = start..text.len() - 1;
        self.output.members.push(Member { key, escaped: false, whole });
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Writer { output: self.output })?;
        let end = self.output.text.len();
        match self.output.members.get_mut(self.first..).and_then(<[_]>::last_mut) {
            Some(member) => member.whole.end = end,
            None => return Err(ser::Error::custom("a value without a key")),
        }
        Ok(())
    }

    fn finish(self) {
        let output = self.output;
        // Taken out, so that the text can be looked at while they are sorted.
        let mut all = std::mem::take(&mut output.members);
        let own = all.get_mut(self.first..).unwrap_or_default();
        own.sort_by(|one, other| output.compare(one, other));
        if !own.is_sorted_by_key(|one| one.whole.start) {
            let start = own.iter().map(|one| one.whole.start).min().unwrap_or_default();
            output.spare.clear();
            for (index, member) in own.iter().enumerate() {
                if index > 0 {
                    output.spare.push(b',');
                }
                let text = output.text.get(member.whole.clone()).unwrap_or_default();
                output.spare.extend_from_slice(text);
            }
            output.text.truncate(start);
            output.text.extend_from_slice(&output.spare);
        }
        all.truncate(self.first);
        output.members = all;
        output.text.extend_from_slice(self.end);
    }
}

impl<'t> ser::Serializer for Writer<'t> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'t>;
    type SerializeTuple = Items<'t>;
    type SerializeTupleStruct = Items<'t>;
    type SerializeTupleVariant = Items<'t>;
    type SerializeMap = Members<'t>;
    type SerializeStruct = Members<'t>;
    type SerializeStructVariant = Members<'t>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.plain(&value)
    }
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.plain(value)
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.plain(value)
    }
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        self.output.text.extend_from_slice(b"null");
        Ok(())
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.plain(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant)?;
        value.serialize(Writer { output: self.output })?;
        self.output.text.push(b'}');
        Ok(())
    }
    fn serialize_seq(self, _len: Option<usize>) -> Result<Items<'t>, Error> {
        Ok(self.items(b"]"))
    }
    fn serialize_tuple(self, _len: usize) -> Result<Items<'t>, Error> {
        Ok(self.items(b"]"))
    }
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Items<'t>, Error> {
        Ok(self.items(b"]"))
    }
    fn serialize_tuple_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Items<'t>, Error> {
        self.variant(variant)?;
        Ok(self.items(b"]}"))
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<Members<'t>, Error> {
        Ok(self.members(b"}"))
    }
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Members<'t>, Error> {
        Ok(self.members(b"}"))
    }
    fn serialize_struct_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Members<'t>, Error> {
        self.variant(variant)?;
        Ok(self.members(b"}}"))
    }
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Items<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeTupleVariant for Items<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.value(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.field(key)?;
        self.value(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Members<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.field(key)?;
        self.value(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
