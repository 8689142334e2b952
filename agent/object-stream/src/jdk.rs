//! The classes of the JDK that peers exchange most. Their serialVersionUIDs are part of the Java API
//! and never change.

use crate::class::{Class, Field};
use crate::datum::{Datum, Object};

/// `java.lang.Enum`
pub static ENUM: Class = {
    let mut class = Class::new("java.lang.Enum", 0);
    class.flags |= crate::tag::SC_ENUM;
    class
};
/// `java.lang.reflect.Proxy`
pub static PROXY: Class = Class::new("java.lang.reflect.Proxy", -2_222_568_056_686_623_797)
    .fields(&[Field::reference("h", "Ljava/lang/reflect/InvocationHandler;")]);
/// `java.lang.Number`
pub static NUMBER: Class = Class::new("java.lang.Number", -8_742_448_824_652_078_965);
/// `java.lang.Boolean`
pub static BOOLEAN: Class =
    Class::new("java.lang.Boolean", -3_665_804_199_014_368_530).fields(&[Field::bool("value")]);
/// `java.lang.Integer`
pub static INTEGER: Class = Class::new("java.lang.Integer", 1_360_826_667_806_852_920)
    .fields(&[Field::int("value")])
    .extends(&NUMBER);
/// `java.lang.Long`
pub static LONG: Class = Class::new("java.lang.Long", 4_290_774_380_558_885_855)
    .fields(&[Field::long("value")])
    .extends(&NUMBER);
/// `byte[]`
pub static BYTE_ARRAY: Class = Class::new("[B", -5_984_413_125_824_719_648);
/// `char[]`
pub static CHAR_ARRAY: Class = Class::new("[C", -5_753_798_564_021_173_076);
/// `int[]`
pub static INT_ARRAY: Class = Class::new("[I", 5_600_894_804_908_749_477);
/// `long[]`
pub static LONG_ARRAY: Class = Class::new("[J", 8_655_923_659_555_304_851);
/// `java.lang.String[]`
pub static STRING_ARRAY: Class = Class::new("[Ljava.lang.String;", -5_921_575_005_990_323_385);
/// `java.lang.Object[]`
pub static OBJECT_ARRAY: Class = Class::new("[Ljava.lang.Object;", -8_012_369_246_846_506_644);
/// `java.lang.StackTraceElement[]`
pub static STACK_TRACE_ARRAY: Class =
    Class::new("[Ljava.lang.StackTraceElement;", 163_864_874_655_228_473);
/// `java.util.ArrayList`
pub static ARRAY_LIST: Class = Class::new("java.util.ArrayList", 8_683_452_581_122_892_189)
    .fields(&[Field::int("size")])
    .with_write_method();
/// `java.util.HashSet`
pub static HASH_SET: Class =
    Class::new("java.util.HashSet", -5_024_744_406_713_321_676).with_write_method();
/// `java.util.HashMap`
pub static HASH_MAP: Class = Class::new("java.util.HashMap", 362_498_820_763_181_265)
    .fields(&[Field::float("loadFactor"), Field::int("threshold")])
    .with_write_method();
/// `java.util.TreeMap`
pub static TREE_MAP: Class = Class::new("java.util.TreeMap", 919_286_545_866_124_006)
    .fields(&[Field::reference("comparator", "Ljava/util/Comparator;")])
    .with_write_method();
/// `java.util.Collections$EmptyList`
pub static EMPTY_LIST: Class =
    Class::new("java.util.Collections$EmptyList", 8_842_843_931_221_139_166);
/// `java.lang.String$CaseInsensitiveComparator`
pub static CASE_INSENSITIVE: Class =
    Class::new("java.lang.String$CaseInsensitiveComparator", 8_575_799_808_933_029_326);
/// `java.net.URI`
pub static URI: Class = Class::new("java.net.URI", -6_052_424_284_110_960_213)
    .fields(&[Field::string("string")])
    .with_write_method();
/// `java.lang.Throwable`
pub static THROWABLE: Class = Class::new("java.lang.Throwable", -3_042_686_055_658_047_285)
    .fields(&[
        Field::reference("cause", "Ljava/lang/Throwable;"),
        Field::string("detailMessage"),
        Field::reference("stackTrace", "[Ljava/lang/StackTraceElement;"),
        Field::reference("suppressedExceptions", "Ljava/util/List;"),
    ])
    .with_write_method();
/// `java.lang.Exception`
pub static EXCEPTION: Class =
    Class::new("java.lang.Exception", -3_387_516_993_124_229_948).extends(&THROWABLE);
/// `java.lang.RuntimeException`
pub static RUNTIME_EXCEPTION: Class =
    Class::new("java.lang.RuntimeException", -7_034_897_190_745_766_939).extends(&EXCEPTION);
/// `java.lang.IllegalStateException`
pub static ILLEGAL_STATE: Class =
    Class::new("java.lang.IllegalStateException", -1_848_914_673_093_119_416)
        .extends(&RUNTIME_EXCEPTION);
/// `java.lang.InterruptedException`
pub static INTERRUPTED: Class =
    Class::new("java.lang.InterruptedException", 6_700_697_376_100_628_473).extends(&EXCEPTION);
/// `java.io.IOException`
pub static IO_EXCEPTION: Class =
    Class::new("java.io.IOException", 7_818_375_828_146_090_155).extends(&EXCEPTION);
/// `java.io.FileNotFoundException`
pub static FILE_NOT_FOUND: Class =
    Class::new("java.io.FileNotFoundException", -897_856_973_823_710_492).extends(&IO_EXCEPTION);
/// `java.nio.file.FileSystemException`
pub static FILE_SYSTEM_EXCEPTION: Class =
    Class::new("java.nio.file.FileSystemException", -3_055_425_747_967_319_812)
        .fields(&[Field::string("file"), Field::string("other")])
        .extends(&IO_EXCEPTION);
/// `java.nio.file.NoSuchFileException`
pub static NO_SUCH_FILE: Class =
    Class::new("java.nio.file.NoSuchFileException", -1_390_291_775_875_351_931)
        .extends(&FILE_SYSTEM_EXCEPTION);
/// `java.nio.file.AccessDeniedException`
pub static ACCESS_DENIED: Class =
    Class::new("java.nio.file.AccessDeniedException", 4_943_049_599_949_219_617)
        .extends(&FILE_SYSTEM_EXCEPTION);
/// `java.nio.file.DirectoryNotEmptyException`
pub static DIRECTORY_NOT_EMPTY: Class =
    Class::new("java.nio.file.DirectoryNotEmptyException", 3_056_667_871_802_779_003)
        .extends(&FILE_SYSTEM_EXCEPTION);

/// A boxed `boolean`.
#[must_use]
pub fn boolean(value: bool) -> Datum {
    Object::new(&BOOLEAN).with("value", value).into()
}

/// A boxed `int`.
#[must_use]
pub fn integer(value: i32) -> Datum {
    Object::new(&INTEGER).with("value", value).into()
}

/// A boxed `long`.
#[must_use]
pub fn long(value: i64) -> Datum {
    Object::new(&LONG).with("value", value).into()
}

/// An `ArrayList`.
#[must_use]
pub fn array_list(items: Vec<Datum>) -> Datum {
    let size = saturating(items.len());
    let list = Object::new(&ARRAY_LIST).with("size", size).block(&ARRAY_LIST, size.to_be_bytes());
    items.into_iter().fold(list, |list, item| list.value(&ARRAY_LIST, item)).into()
}

/// A `HashSet`.
#[must_use]
pub fn hash_set(items: Vec<Datum>) -> Datum {
    let size = saturating(items.len());
    let mut block = buckets(size).to_be_bytes().to_vec();
    block.extend(0.75_f32.to_be_bytes());
    block.extend(size.to_be_bytes());
    let set = Object::new(&HASH_SET).block(&HASH_SET, block);
    items.into_iter().fold(set, |set, item| set.value(&HASH_SET, item)).into()
}

/// A `HashMap`.
#[must_use]
pub fn hash_map(entries: Vec<(Datum, Datum)>) -> Datum {
    let size = saturating(entries.len());
    let buckets = buckets(size);
    let mut block = buckets.to_be_bytes().to_vec();
    block.extend(size.to_be_bytes());
    let map = Object::new(&HASH_MAP)
        .with("loadFactor", 0.75_f32)
        .with("threshold", buckets / 4 * 3)
        .block(&HASH_MAP, block);
    let put = |map: Object, (key, value)| map.value(&HASH_MAP, key).value(&HASH_MAP, value);
    entries.into_iter().fold(map, put).into()
}

/// A `TreeMap`, or a subclass of it; the entries must be in the comparator's order.
#[must_use]
pub fn tree_map(
    class: &'static Class,
    comparator: Option<Object>,
    entries: Vec<(Datum, Datum)>,
) -> Object {
    let map = Object::new(class)
        .with("comparator", comparator)
        .block(&TREE_MAP, saturating(entries.len()).to_be_bytes());
    let put = |map: Object, (key, value)| map.value(&TREE_MAP, key).value(&TREE_MAP, value);
    entries.into_iter().fold(map, put)
}

/// A throwable with no stack trace and no cause.
///
/// Its list of suppressed exceptions is empty. Without the list a JVM would take it for one that can have none, and
/// `addSuppressed` would do nothing: a controller adds there from where it called the agent, which people read in logs.
#[must_use]
pub fn throwable(class: &'static Class, message: impl Into<Datum>) -> Object {
    Object::new(class)
        .with("detailMessage", message)
        .with("stackTrace", Datum::Array(&STACK_TRACE_ARRAY, Vec::new()))
        .with("suppressedExceptions", Object::new(&EMPTY_LIST))
}

fn saturating(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The table size that a map of this many entries has: a power of two, three quarters full at most.
fn buckets(size: i32) -> i32 {
    let needed = i64::from(size) * 4 / 3 + 1;
    let power = u64::try_from(needed).unwrap_or(16).next_power_of_two().clamp(16, 1 << 30);
    i32::try_from(power).unwrap_or(1 << 30)
}
