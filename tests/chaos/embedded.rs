//! A server with a file of its own, whose disk hangs, fills up and fails, and which is killed and stopped.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::Signal;

use crate::Plan;
use crate::eventually::{SOON, eventually};
use crate::faults::{self, Disk};
use crate::server::{Server, Setup};
use crate::tally::Wrong;
use crate::users::{Shown, TTL, Users, ask, default_lifetime, idle, put, register_permanent, shown};

/// Faults between two quiet points.
const ROUND: usize = 6;

/// One server, which listens where the test does, so that whoever comes while it is down waits until it is back.
pub(crate) struct Ground {
    setup: Setup,
    disk: Disk,
    listener: TcpListener,
    server: Server,
}

impl Ground {
    #[track_caller]
    pub(crate) fn start(plan: &Plan) -> Ground {
        let listener = TcpListener::bind("127.0.0.1:0").expect("ports are free");
        let (setup, disk, _) =
            faults::inject(Setup::new().env("RUST_LOG", "warn,inventor::serve=info,inventor::registry=info"));
        idle(plan).write_to_file(&setup);
        let setup = setup.env("TTL_SECONDS", &default_lifetime(plan).as_secs().to_string());
        let server = start(&setup, &listener);
        register_permanent(server.address());
        Ground { setup, disk, listener, server }
    }

    #[track_caller]
    pub(crate) fn run(mut self, plan: &Plan) {
        let users = Users::new(vec![self.server.address()], true, plan);
        let end = Instant::now() + plan.time;
        thread::scope(|scope| {
            let _ending = users.ending();
            users.spawn(scope);
            let mut dice = Rng::with_seed(users.seed);
            while Instant::now() < end {
                for _ in 0..ROUND {
                    thread::sleep(Duration::from_millis(dice.u64(100..2500)));
                    users.outages.during(|| self.fault(&users, &mut dice));
                }
                users.quietly(|| self.compare(&users));
            }
        });
        users.tally.conclude("a file", plan.seed, plan.time.as_secs());
    }

    fn fault(&mut self, users: &Users, dice: &mut Rng) {
        // Most are short; some are longer than anything lives.
        let time = match dice.u64(..8) {
            0 => TTL + Duration::from_millis(dice.u64(500..2000)),
            1..=3 => Duration::from_millis(dice.u64(2000..5000)),
            _ => Duration::from_millis(dice.u64(50..2000)),
        };
        let trouble: [fn(&Disk); 3] = [Disk::hang, Disk::fill, Disk::fail];
        let number = dice.usize(..5);
        let name = ["the disk hangs", "the disk is full", "the disk fails", "the server stands still", "it is killed"];
        users.tally.fault(&format!("{} for {time:?}", name[number]));
        match number {
            3 => {
                self.server.process().signal(Signal::SIGSTOP);
                thread::sleep(time);
                self.server.process().signal(Signal::SIGCONT);
            }
            4 => {
                self.server.process().signal(Signal::SIGKILL);
                self.server.process().wait();
                thread::sleep(time);
                self.server = start(&self.setup, &self.listener);
            }
            n => {
                trouble[n](&self.disk);
                thread::sleep(time);
                self.disk.heal();
            }
        }
    }

    /// What a server shows that has read the file is what the one before has shown.
    #[track_caller]
    fn compare(&mut self, users: &Users) {
        let address = self.server.address();
        let list = || -> Shown {
            let (status, list) = users.list(address).expect("it is up");
            assert_eq!(status, 200, "{list}");
            shown(&list).expect("a list")
        };
        // What waited for a disk that hung is done before this.
        eventually(SOON, || ask(address, &put("gone-last", "gone", 0)).is_some_and(|(status, _)| status == 200));
        eventually(SOON, || self.server.get("/-/ready").status == 200);
        let before = list();
        users.outages.during(|| {
            self.server.process().signal(Signal::SIGTERM);
            assert_eq!(self.server.process().wait().code(), Some(0));
            self.server = start(&self.setup, &self.listener);
        });
        users.check_idle();
        let after = list();
        for (name, revision) in &after {
            if before.get(name).is_some_and(|before| before != revision) {
                users.tally.note(Wrong::Difference, format!("{name} is another after a restart"));
            }
        }
        let may_come_or_go = |name: &str| name.starts_with("gone") || name.starts_with("writer");
        let mut others = before.keys().chain(after.keys()).filter(|name| !may_come_or_go(name));
        if let Some(name) = others.find(|name| before.contains_key(*name) != after.contains_key(*name)) {
            users.tally.note(Wrong::Difference, format!("{name} came or went with a restart"));
        }
        let back = after.keys().find(|name| name.starts_with("writer") && !before.contains_key(*name));
        if let Some(name) = back {
            users.tally.note(Wrong::Difference, format!("{name} is back after a restart"));
        }
    }
}

#[track_caller]
fn start(setup: &Setup, listener: &TcpListener) -> Server {
    setup.start_with(listener.try_clone().expect("descriptors are left"))
}
