//! JSON with sorted keys and no spaces: the same value is always the same text, whatever order its
//! type or its map keeps. Digests are made of it.
//!
//! It is written in one pass. An object's members are written as they come and put in order at its end,
//! so nothing is built that is only taken apart again.

use std::ops::Range;

use serde::ser::{self, Serialize};
use serde_json::Error;

/// The canonical JSON of a value.
///
/// # Errors
/// What JSON has no form for, such as a map whose keys are no text, or what the value itself refuses.
pub(crate) fn to_canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let mut text = Vec::new();
    value.serialize(Writer { text: &mut text })?;
    String::from_utf8(text).map_err(ser::Error::custom)
}

struct Writer<'t> {
    text: &'t mut Vec<u8>,
}

/// An array that is being written.
struct Items<'t> {
    text: &'t mut Vec<u8>,
    empty: bool,
    end: &'static [u8],
}

/// An object that is being written: its members so far, in `text` from `start` on, without commas.
struct Members<'t> {
    text: &'t mut Vec<u8>,
    start: usize,
    all: Vec<Member>,
    end: &'static [u8],
}

struct Member {
    key: Key,
    at: Range<usize>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key(std::borrow::Cow<'static, str>);

impl<'t> Writer<'t> {
    fn plain<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(self.text, value)
    }

    fn items(self, end: &'static [u8]) -> Items<'t> {
        self.text.push(b'[');
        Items { text: self.text, empty: true, end }
    }

    fn members(self, end: &'static [u8]) -> Members<'t> {
        self.text.push(b'{');
        let start = self.text.len();
        Members { text: self.text, start, all: Vec::new(), end }
    }

    fn variant(&mut self, name: &str) -> Result<(), Error> {
        self.text.push(b'{');
        serde_json::to_writer(&mut *self.text, name)?;
        self.text.push(b':');
        Ok(())
    }
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::replace(&mut self.empty, false) {
            self.text.push(b',');
        }
        value.serialize(Writer { text: self.text })
    }

    fn finish(self) {
        self.text.extend_from_slice(self.end);
    }
}

impl Members<'_> {
    fn key(&mut self, key: Key) -> Result<(), Error> {
        let start = self.text.len();
        serde_json::to_writer(&mut *self.text, &*key.0)?;
        self.text.push(b':');
        self.all.push(Member { key, at: start..start });
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Writer { text: self.text })?;
        let end = self.text.len();
        match self.all.last_mut() {
            Some(member) => member.at.end = end,
            None => return Err(ser::Error::custom("a value without a key")),
        }
        Ok(())
    }

    fn finish(mut self) {
        self.all.sort_by(|one, other| one.key.cmp(&other.key));
        let unsorted = self.text.split_off(self.start);
        for (index, member) in self.all.iter().enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            let at = member.at.start - self.start..member.at.end - self.start;
            self.text.extend_from_slice(unsorted.get(at).unwrap_or_default());
        }
        self.text.extend_from_slice(self.end);
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
        self.text.extend_from_slice(b"null");
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
        value.serialize(Writer { text: self.text })?;
        self.text.push(b'}');
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
        // What a key of JSON may be made of, and how, is that library's business.
        match serde_json::to_value(key)? {
            serde_json::Value::String(text) => self.key(Key(text.into())),
            other @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                self.key(Key(other.to_string().into()))
            }
            _ => Err(ser::Error::custom("the key of a map must be text")),
        }
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
        self.key(Key(key.into()))?;
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
        self.key(Key(key.into()))?;
        self.value(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
