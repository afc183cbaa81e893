use super::*;
use proptest::prelude::*;

const PATIENCE: Patience = Patience {
    first_ms: 100,
    longest_ms: 300,
};

/// A message whose memory is its payload.
fn bytes(payload: usize) -> Weight {
    Weight {
        payload,
        memory: payload,
    }
}

fn spool(limit: usize, keep: bool) -> Spooler<u32> {
    Spooler::new(SpoolerSettings {
        max_size_bytes: limit,
        keep_qos0_when_offline: keep,
    })
}

#[test]
fn the_oldest_qos_0_messages_make_room_and_nothing_else_does() {
    let mut spool = spool(100, false);
    for (message, qos0) in [(1, true), (2, false), (3, true), (4, false)] {
        spool.add(message, bytes(25), qos0, true).expect("room");
    }
    assert_eq!(
        spool.add(5, bytes(30), false, true).expect("room").dropped,
        [1, 3]
    );
    assert_eq!(
        spool.add(6, bytes(30), false, true),
        Err(SpoolError::Full {
            used: 80,
            limit: 100
        })
    );
    assert_eq!(spool.used_bytes(), 80);
    assert_eq!(
        spool.add(7, bytes(101), false, true),
        Err(SpoolError::LargerThanSpool {
            size: 101,
            limit: 100
        })
    );
    assert_eq!(spool.take(), Some((2, &2)));
}

#[test]
fn qos_0_is_kept_offline_only_where_asked_for() {
    let mut forgets = spool(100, false);
    assert_eq!(
        forgets.add(1, bytes(1), true, false),
        Err(SpoolError::Offline)
    );
    forgets.add(2, bytes(1), true, true).expect("online");
    forgets.add(3, bytes(1), false, true).expect("online");
    assert_eq!(forgets.went_offline(), [2]);
    assert_eq!(forgets.len(), 1);
    let mut keeps = spool(100, true);
    keeps.add(1, bytes(1), true, false).expect("kept");
    assert!(keeps.went_offline().is_empty());
}

#[test]
fn a_message_is_tried_again_a_bounded_number_of_times() {
    let mut spool = spool(100, false);
    let id = spool.add(1, bytes(10), false, true).expect("room").id;
    let mut now = 1000;
    // It waits longer each time, and not for ever.
    for wait in [100, 200, 300, 300] {
        assert_eq!(spool.take().map(|(id, _)| id), Some(id));
        assert_eq!(spool.retry(now, id, Some(4), PATIENCE), None);
        assert_eq!(spool.next_due(), Some(now + wait));
        spool.wake(now + wait - 1);
        assert_eq!(spool.take(), None);
        now += wait;
        spool.wake(now);
    }
    spool.take();
    assert_eq!(spool.retry(now, id, Some(4), PATIENCE), Some(1));
    assert!(spool.is_empty());
    assert_eq!((spool.used_bytes(), spool.next_due()), (0, None));
}

#[test]
fn what_waits_for_another_try_lets_others_pass() {
    let mut spool = spool(100, false);
    let failing = spool.add(1, bytes(1), false, true).expect("room").id;
    spool.add(2, bytes(1), false, true).expect("room");
    spool.take();
    spool.retry(0, failing, None, PATIENCE);
    assert_eq!(spool.take().map(|(_, message)| *message), Some(2));
    assert_eq!(spool.take(), None);
    spool.return_taken();
    assert_eq!(spool.next_due(), None);
    assert_eq!(spool.take().map(|(_, message)| *message), Some(1));
    // Removed while it waits, it does not come again.
    spool.retry(0, failing, None, PATIENCE);
    assert_eq!(spool.remove(failing), Some(1));
    assert_eq!(spool.next_due(), None);
}

#[test]
fn messages_without_payload_are_bounded_too() {
    let mut spool = spool(100, true);
    let empty = Weight {
        payload: 0,
        memory: 50,
    };
    spool.add(0, empty, true, false).expect("room");
    for message in 1..8 {
        spool.add(message, empty, false, false).expect("room");
    }
    assert_eq!(
        spool.add(8, empty, false, false).expect("room").dropped,
        [0]
    );
    let full = SpoolError::Full {
        used: 400,
        limit: 400,
    };
    assert_eq!(spool.add(9, empty, false, false), Err(full));
    // A message alone always finds room, whatever it carries besides.
    let mut spool = self::spool(100, true);
    let heavy = Weight {
        payload: 1,
        memory: 1000,
    };
    spool.add(1, heavy, false, false).expect("room");
}

proptest! {
    /// Whatever happens: the sum is right, the limit holds, order is kept, QoS 1 is never dropped.
    #[test]
    fn accounting_never_drifts(steps in prop::collection::vec((0u8..6, 0usize..60, any::<bool>()), 0..120)) {
        let mut spool = spool(100, false);
        let mut taken: Vec<SpoolId> = Vec::new();
        let mut model: Vec<(u32, usize, bool)> = Vec::new();
        let mut number = 0;
        for (step, size, qos0) in steps {
            match step {
                0..=2 => {
                    number += 1;
                    if let Ok(added) = spool.add(number, bytes(size), qos0, true) {
                        for dropped in added.dropped {
                            let at = model.iter().position(|(m, _, _)| *m == dropped).expect("known");
                            prop_assert!(model.remove(at).2, "a QoS 1 message was dropped");
                        }
                        model.push((number, size, qos0));
                    }
                }
                3 => {
                    if let Some((id, _)) = spool.take() { taken.push(id) }
                }
                4 => {
                    if let Some(id) = taken.pop()
                        && let Some(message) = spool.remove(id) {
                        model.retain(|(m, _, _)| *m != message);
                    }
                }
                _ => {
                    for lost in spool.went_offline() {
                        let at = model.iter().position(|(m, _, _)| *m == lost).expect("known");
                        prop_assert!(model.remove(at).2);
                    }
                }
            }
            prop_assert_eq!(spool.used_bytes(), model.iter().map(|(_, size, _)| size).sum::<usize>());
            prop_assert!(spool.used_bytes() <= 100);
            prop_assert_eq!(spool.len(), model.len());
        }
        let mut last = 0;
        while let Some((id, _)) = spool.take() {
            prop_assert!(id > last);
            last = id;
        }
    }
}
