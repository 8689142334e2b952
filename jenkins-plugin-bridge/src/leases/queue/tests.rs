use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400_000;

fn place(number: i64, held_ms: Option<i64>) -> Place {
    Place {
        build: format!("b-{number}"),
        stage: "deploy".into(),
        ticket: number,
        held_ms,
        heard_ms: 0,
        expires_ms: DAY,
        look_ms: 0,
        looked_ms: 0,
        can_be_asked: false,
    }
}

#[test]
fn the_next_one_has_it_and_who_is_silent_is_passed_over() {
    let mut line = vec![place(1, Some(0)), place(2, None), place(3, None)];
    assert_eq!(turn(&line, "b-1", "deploy", 10, 0), Turn::Holds, "asked again");
    assert_eq!(turn(&line, "b-2", "deploy", 10, 0), Turn::Waits);
    assert_eq!(["b-2", "b-3"].map(|one| position(line.iter(), one, "deploy")), [1, 2]);
    line.remove(0);
    assert_eq!(turn(&line, "b-3", "deploy", SILENT_MS, 0), Turn::Waits, "it comes after b-2");
    assert_eq!(turn(&line, "b-2", "deploy", SILENT_MS, 0), Turn::Holds);
    assert_eq!(turn(&line, "b-3", "deploy", SILENT_MS + 1, 0), Turn::Holds, "b-2 does not ask");
    assert_eq!(turn(&line, "b-2", "deploy", SILENT_MS + 1, 0), Turn::Holds, "it kept its place");
    // Nobody was heard while the service was away.
    assert_eq!(turn(&line, "b-3", "deploy", DAY, DAY - SILENT_MS), Turn::Waits);
}

#[test]
fn a_lease_ends_with_its_time_or_once_its_controller_was_asked() {
    let mut line = vec![place(1, Some(0)), place(2, None)];
    line[1].heard_ms = DAY;
    assert_eq!(turn(&line, "b-2", "deploy", DAY - 1, 0), Turn::Waits);
    assert_eq!(turn(&line, "b-2", "deploy", DAY, 0), Turn::Holds);
    assert_eq!(turn(&line, "b-1", "deploy", DAY, 0), Turn::Holds, "nobody else has it yet");
    line[0].can_be_asked = true;
    assert_eq!(turn(&line, "b-2", "deploy", DAY, 0), Turn::Waits);
    assert!(is_to_be_looked_at(&line[0], DAY));
    line[0].look_ms = DAY;
    assert!(!is_to_be_looked_at(&line[0], DAY + LOOK_EVERY_MS - 1));
    assert_eq!(turn(&line, "b-2", "deploy", DAY, 0), Turn::Waits, "no answer yet");
    line[0].looked_ms = DAY;
    assert_eq!(turn(&line, "b-2", "deploy", DAY, 0), Turn::Holds, "nothing could be seen");
}

proptest! {
    /// Whatever is asked and given back in whatever order, one holds a lock at a time, and whoever always asks has
    /// it in the order of asking.
    #[test]
    fn one_holds_it_in_the_order_of_asking(steps in prop::collection::vec((0..6_i64, 0..3_u8, 0..20_000_i64), 1..200)) {
        let mut line: Vec<Place> = Vec::new();
        let (mut now, mut tickets, mut given) = (0, 0, Vec::new());
        for (who, what, passes) in steps {
            now += passes;
            let name = format!("b-{who}");
            if what == 0 {
                line.retain(|one| one.build != name);
                continue;
            }
            if !line.iter().any(|one| one.build == name) {
                tickets += 1;
                line.push(Place { ticket: tickets, build: name.clone(), ..place(0, None) });
            }
            // All that are there ask at the same time as this one: nobody is silent.
            line.iter_mut().for_each(|one| {
                one.heard_ms = now;
                one.expires_ms = now + DAY;
            });
            let before = line.iter().position(|one| one.held_ms.is_some());
            let answer = turn(&line, &name, "deploy", now, 0);
            let own = line.iter().position(|one| one.build == name).unwrap();
            if answer == Turn::Holds {
                prop_assert!(before.is_none_or(|holder| holder == own), "two hold it");
                if before.is_none() {
                    prop_assert!(line.iter().all(|one| one.ticket >= line[own].ticket), "out of turn");
                    line[own].held_ms = Some(now);
                    given.push(line[own].ticket);
                }
            } else {
                let first = line.iter().position(|one| one.held_ms.is_none()).unwrap();
                prop_assert!(before.is_some() || first != own, "the next one is kept waiting");
            }
        }
        prop_assert!(given.is_sorted(), "{given:?}");
    }
}
