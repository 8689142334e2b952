//! The Java Object Serialization Stream Protocol, read and written without a JVM.
//!
//! Reading turns any stream into an inert [`Graph`]: no class is needed and nothing is ever
//! instantiated, so there is no gadget chain to reach. Writing goes two ways: a graph that was read
//! is written back byte for byte ([`Graph::to_bytes`]), and values of one's own are encoded from
//! [`Class`] declarations ([`encode`]).
//!
//! ```
//! use java_object_stream::{Class, Field, Graph, Object, Plain, ReadOptions, encode, from_java};
//!
//! static POINT: Class = Class::new("demo.Point", 7).fields(&[Field::int("x"), Field::int("y")]);
//!
//! from_java! {
//!     struct Point { x: i32 = "x", y: i32 = "y" }
//! }
//!
//! let bytes = encode(&Object::new(&POINT).with("x", 3).with("y", 4).into(), &mut Plain)?;
//! let graph = Graph::parse(&bytes, &ReadOptions::default())?;
//! let point: Point = graph.root()?.read()?;
//! assert_eq!((point.x, point.y), (3, 4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two things about the format cannot be known without class files, see [`ReadOptions`].
//!
//! Every stream may be hostile: [`Limits`] bounds depth, counts, lengths and memory, neither reading
//! nor writing recurses, and no bytes make any function here panic.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod class;
mod collections;
mod datum;
mod encode;
mod error;
mod graph;
pub mod jdk;
mod limits;
mod node;
mod reader;
mod tag;
mod text;
mod writer;

pub use class::{Class, Field, FieldType};
pub use datum::{Datum, Object};
pub use encode::{Annotate, Plain, encode, encode_into};
pub use error::{AccessError, EncodeError, ReadError, ReadErrorKind};
pub use graph::{
    Array, ClassDesc, Content, FieldDesc, Graph, Instance, Items, Level, ObjectId, ProxyDesc,
    Stored, Value,
};
pub use limits::{Limits, ReadOptions};
pub use node::{FromJava, Node};
pub use text::JavaStr;
