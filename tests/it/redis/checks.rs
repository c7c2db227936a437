//! Writes with a check on one Redis that several servers, and other programs, write at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use inventor::registry::Now;
use inventor::store::{Check, Outcome};

use super::{Ending, Replica, key, set, value};
use crate::eventually::{SOON, eventually};
use crate::redis_server::{RedisServer, command};
use crate::store_contract::{delete, hour, id, in_group, put, team, text_of};

/// Passes this text only, or nothing.
fn expecting(text: Option<String>) -> Check {
    Arc::new(move |_, present: Option<&[u8]>| present.map(text_of) == text)
}

#[test]
fn servers_and_other_programs_that_expect_the_same_do_not_write_over_each_other() {
    const STEPS: usize = 60;
    let redis = RedisServer::start();
    let replicas = [Replica::start(&redis), Replica::start(&redis)];
    let names = ["a", "b"];
    names.iter().for_each(|name| set(&mut redis.connect(), name, "0"));
    let made = AtomicUsize::new(0);
    thread::scope(|scope| {
        for writer in 0..6 {
            let (replica, made, redis) = (&replicas[writer % 2], &made, &redis);
            scope.spawn(move || {
                let mut connection = redis.connect();
                for step in 0..STEPS {
                    let name = names[(writer + step) % names.len()];
                    let text = replica.get(name).unwrap();
                    let next = (text.parse::<usize>().unwrap() + 1).to_string();
                    let is_made = if step % 5 == 0 {
                        // What a program does by itself, in the way that Redis has for it.
                        let _: () = command(&mut connection, &["WATCH", &key(name)]);
                        let now: String = command(&mut connection, &["GET", &key(name)]);
                        let is_same = text_of(now.as_bytes()) == text;
                        let _: () = command(&mut connection, &["MULTI"]);
                        if is_same {
                            let _: () = command(&mut connection, &["SET", &key(name), &value(name, &next)]);
                        }
                        let done: Option<Vec<String>> = command(&mut connection, &["EXEC"]);
                        is_same && done.is_some()
                    } else {
                        let write = replica.store.write(vec![put(name, &next, hour())], Some(expecting(Some(text))));
                        matches!(write.unwrap(), Outcome::Made(_))
                    };
                    made.fetch_add(usize::from(is_made), Ordering::Relaxed);
                }
            });
        }
    });
    let texts = || names.map(|name| replicas[0].get(name).unwrap());
    let total: usize = texts().iter().map(|text| text.parse::<usize>().unwrap()).sum();
    assert_eq!(total, made.into_inner());
    for replica in &replicas {
        eventually(SOON, || names.map(|name| replica.shown(name).unwrap()) == texts());
    }
}

#[test]
fn what_others_do_all_the_time_to_one_registration_delays_no_other() {
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let team = team("g");
    let done = AtomicBool::new(false);
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut connection = redis.connect();
                while !done.load(Ordering::Relaxed) {
                    set(&mut connection, "busy", "g");
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // It may be made or not: another was always faster.
                let _ = replica.registry.put(id("busy"), &in_group("busy", "g"), &team, Now::read());
            }
        });
        let _ending = Ending(&done);
        for n in 0..200 {
            let (name, began) = (format!("quiet-{}", n % 10), Instant::now());
            replica.registry.put(id(&name), &in_group(&name, "g"), &team, Now::read()).expect("nobody else writes it");
            slowest = slowest.max(began.elapsed());
        }
    });
    assert!(slowest < Duration::from_secs(2), "one took {slowest:?}");
    assert_eq!(replica.count(), 11);
    assert_eq!(replica.registry.health(Now::read()), Ok(()));
}

#[test]
fn while_a_large_batch_is_checked_other_writes_go_on() {
    const SIZE: usize = 1100;
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let names: Vec<String> = (0..SIZE).map(|n| n.to_string()).collect();
    let write = |text: &str, check: Check| {
        let updates = names.iter().map(|name| put(name, text, hour())).collect();
        replica.store.write(updates, Some(check))
    };
    assert!(matches!(write("first", expecting(None)), Ok(Outcome::Made(_))));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Renewals of the same registrations, and others.
        scope.spawn(|| {
            for n in (0..SIZE).cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                replica.put(&n.to_string(), "renewed");
                replica.put("other", "text");
                assert_eq!(replica.write(vec![delete("other")]), Ok(vec![true]));
            }
        });
        let _ending = Ending(&done);
        let any: Check = Arc::new(|_, present: Option<&[u8]>| present.is_some());
        for round in 0..5 {
            let made = write(&round.to_string(), any.clone());
            assert!(matches!(made, Ok(Outcome::Made(_))), "{made:?}");
        }
    });
    assert!(replica.count() >= SIZE);
}

#[test]
fn small_writes_with_a_check_overtake_a_large_one_that_is_read() {
    const SIZE: usize = 5000;
    let redis = RedisServer::start();
    let replica = Replica::start(&redis);
    let (read, done) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(false));
    let mut overtook = 0;
    thread::scope(|scope| {
        let counted = Arc::clone(&read);
        scope.spawn(|| {
            let _ending = Ending(&done);
            let slow: Check = Arc::new(move |_, _| {
                thread::sleep(Duration::from_micros(200));
                counted.fetch_add(1, Ordering::Relaxed);
                true
            });
            let updates = (0..SIZE).map(|n| put(&n.to_string(), "large", hour())).collect();
            // On a busy machine it may take too long.
            let _ = replica.store.write(updates, Some(slow));
        });
        eventually(SOON, || read.load(Ordering::Relaxed) > 0);
        while !done.load(Ordering::Relaxed) {
            let made = replica.store.write(vec![put("small", "text", hour())], Some(Arc::new(|_, _| true)));
            overtook += usize::from(made.is_ok() && read.load(Ordering::Relaxed) < SIZE);
        }
    });
    assert!(overtook > 0, "none was made while the large one was read");
    assert_eq!(replica.shown("small").as_deref(), Some("text"));
}
