//! The order in which a Java process sees the variables it inherits.
//!
//! It matters only for names that differ in nothing but case: Jenkins copies `System.getenv()`, a
//! view of a `HashMap`, into its case-insensitive map, where the first name and the last value win.

use std::collections::HashMap;
use std::ffi::OsString;

/// Variables in the iteration order of Java's `System.getenv()`, as text.
///
/// `java.lang.ProcessEnvironment` reads the block back to front into a `HashMap` of the initial
/// capacity count + 3, keyed by the bytes of the name; bins are visited by index, and within a bin
/// in the order of insertion.
pub(super) fn in_java_order(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(String, String)> {
    let block: Vec<(OsString, OsString)> = variables.into_iter().collect();
    let initial = (block.len() + 3).next_power_of_two();
    let mut table: Vec<(OsString, OsString)> = Vec::with_capacity(block.len());
    let mut positions: HashMap<OsString, usize> = HashMap::with_capacity(block.len());
    for (name, value) in block.into_iter().rev() {
        if let Some(&position) = positions.get(&name) {
            table[position].1 = value;
        } else {
            positions.insert(name.clone(), table.len());
            table.push((name, value));
        }
    }
    let mut capacity = initial;
    while table.len() > capacity / 4 * 3 {
        capacity *= 2;
    }
    // A stable sort keeps the order of insertion within a bin.
    table.sort_by_key(|(name, _)| bin(name.as_encoded_bytes(), capacity));
    table
        .into_iter()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect()
}

/// The bin of a name in a `HashMap` of that capacity, a power of two.
fn bin(name: &[u8], capacity: usize) -> usize {
    let hash = name.iter().fold(0_i32, |hash, &byte| {
        hash.wrapping_mul(31).wrapping_add(i32::from(byte.cast_signed()))
    });
    let hash = hash.cast_unsigned();
    let spread = hash ^ (hash >> 16);
    usize::try_from(spread).unwrap_or(usize::MAX) & (capacity - 1)
}
