//! The type codes of the stream grammar (`java.io.ObjectStreamConstants`).

pub(crate) const MAGIC: [u8; 4] = [0xAC, 0xED, 0x00, 0x05];
pub(crate) const BASE_HANDLE: u32 = 0x007E_0000;

pub(crate) const NULL: u8 = 0x70;
pub(crate) const REFERENCE: u8 = 0x71;
pub(crate) const CLASS_DESC: u8 = 0x72;
pub(crate) const OBJECT: u8 = 0x73;
pub(crate) const STRING: u8 = 0x74;
pub(crate) const ARRAY: u8 = 0x75;
pub(crate) const CLASS: u8 = 0x76;
pub(crate) const BLOCK_DATA: u8 = 0x77;
pub(crate) const END_BLOCK_DATA: u8 = 0x78;
pub(crate) const RESET: u8 = 0x79;
pub(crate) const BLOCK_DATA_LONG: u8 = 0x7A;
pub(crate) const EXCEPTION: u8 = 0x7B;
pub(crate) const LONG_STRING: u8 = 0x7C;
pub(crate) const PROXY_CLASS_DESC: u8 = 0x7D;
pub(crate) const ENUM: u8 = 0x7E;

pub(crate) const SC_WRITE_METHOD: u8 = 0x01;
pub(crate) const SC_SERIALIZABLE: u8 = 0x02;
pub(crate) const SC_EXTERNALIZABLE: u8 = 0x04;
pub(crate) const SC_BLOCK_DATA: u8 = 0x08;
pub(crate) const SC_ENUM: u8 = 0x10;

/// The longest string that `TC_STRING` can carry, in bytes of modified UTF-8.
pub(crate) const MAX_SHORT_STRING: usize = 0xFFFF;
