use std::collections::HashMap;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use super::to_canonical_json;

#[derive(Serialize)]
struct Unordered {
    zebra: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<u8>,
    apple: Vec<Kind>,
    #[serde(flatten)]
    rest: HashMap<String, f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    PlainOne,
    Newtype(u8),
    Pair(u8, char),
    Fields { z: (), a: bool },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Tagged {
    Boxed(Box<Inner>),
}

#[derive(Serialize)]
struct Inner {
    z: i64,
    a: (),
}

#[test]
fn members_are_sorted_whatever_they_come_from() {
    let value = Unordered {
        zebra: None,
        absent: None,
        apple: vec![
            Kind::PlainOne,
            Kind::Newtype(1),
            Kind::Pair(2, '"'),
            Kind::Fields { z: (), a: true },
        ],
        rest: HashMap::from([("mid".to_owned(), 0.5), ("\n".to_owned(), 1.0)]),
    };
    assert_eq!(
        to_canonical_json(&value).unwrap(),
        r#"{"\n":1.0,"apple":["plain-one",{"newtype":1},{"pair":[2,"\""]},{"fields":{"a":true,"z":null}}],"mid":0.5,"zebra":null}"#
    );
    let tagged = Tagged::Boxed(Box::new(Inner { z: -1, a: () }));
    assert_eq!(to_canonical_json(&tagged).unwrap(), r#"{"a":null,"type":"boxed","z":-1}"#);
}

#[test]
fn a_key_that_is_no_text_is_refused() {
    assert_eq!(to_canonical_json(&HashMap::from([(7, 1)])).unwrap(), r#"{"7":1}"#);
    assert!(to_canonical_json(&HashMap::from([(vec![1], 1)])).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|one| json!(f64::from(one) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_is_the_same_value(value in any_json()) {
        let text = to_canonical_json(&value).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value.clone());
        // These maps were filled in order, which that library keeps or makes.
        prop_assert_eq!(text, serde_json::to_string(&value).unwrap());
    }
}
