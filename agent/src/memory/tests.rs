use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use pilotfish_exec::{Record, Stage};
use pilotfish_process::ProcessIdentity;
use pilotfish_process::cgroup::Version;
use proptest::prelude::*;

use super::guard::{Candidate, Window, choose};
use super::*;

const MIB: u64 = 1 << 20;

fn candidate(pid: u32, memory: u64, start_time: u64) -> Candidate {
    let identity = ProcessIdentity { pid, start_time };
    Candidate { identity, name: format!("p{pid}"), memory, cookie: None }
}

#[test]
fn the_largest_goes_and_never_the_agent() {
    let candidates =
        [candidate(5, 10, 1), candidate(6, 30, 1), candidate(7, 30, 2), candidate(8, 90, 1)];
    let spared = |pids: &[u32]| pids.iter().copied().collect();
    assert_eq!(choose(&candidates, &spared(&[])).unwrap().identity.pid, 8);
    // 8 is the agent; of the two largest that are left the younger goes.
    assert_eq!(choose(&candidates, &spared(&[8])).unwrap().identity.pid, 7);
    assert_eq!(choose(&candidates, &spared(&[5, 6, 7, 8])), None);
    let own = guard::spared();
    assert!(
        own.contains(&std::process::id()) && own.contains(&std::os::unix::process::parent_id())
    );
}

proptest! {
    #[test]
    fn nothing_larger_is_left(sizes in prop::collection::vec((0_u64..50, 0_u64..5), 1..12), agent in 0_u32..12) {
        let all: Vec<Candidate> =
            (0_u32..).zip(sizes).map(|(pid, (memory, start))| candidate(pid, memory, start)).collect();
        let chosen = choose(&all, &std::iter::once(agent).collect());
        for other in all.iter().filter(|one| one.identity.pid != agent) {
            let chosen = chosen.unwrap();
            prop_assert!(chosen.identity.pid != agent);
            prop_assert!((other.memory, other.identity.start_time) <= (chosen.memory, chosen.identity.start_time));
        }
    }
}

#[test]
fn it_acts_at_the_margin_or_when_all_wait() {
    use pilotfish_process::cgroup::Pressure;
    let guard = Guard::new(Margin::Bytes(10 * MIB));
    let limit = 100 * MIB;
    let mut window = Window::new(Instant::now());
    let none = || None;
    assert_eq!(window.must_act(&guard, limit, 90 * MIB, none), Some(guard::Reason::Usage));
    assert_eq!(window.must_act(&guard, limit, 90 * MIB - 1, none), None);
    let waited = |full| move || Some(Pressure { some: full, full });
    let long_ago = Instant::now() - Duration::from_secs(1);
    let mut window = Window::new(long_ago);
    assert_eq!(window.must_act(&guard, limit, 85 * MIB, waited(0)), None, "the first look");
    assert_eq!(
        window.must_act(&guard, limit, 70 * MIB, waited(900_000)),
        None,
        "far from the limit"
    );
    assert_eq!(window.must_act(&guard, limit, 85 * MIB, waited(900_000)), None, "a new window");
    std::thread::sleep(Duration::from_millis(510));
    assert_eq!(
        window.must_act(&guard, limit, 85 * MIB, waited(9_000_000)),
        Some(guard::Reason::Pressure)
    );
}

#[test]
fn looks_come_closer_as_memory_gets_short() {
    let (gib, margin) = (1 << 30, 16 * MIB);
    assert_eq!(guard::until_next(64 * gib, 0, margin), Duration::from_secs(1));
    assert_eq!(guard::until_next(gib, gib - 20 * MIB, margin), guard::SHORTEST);
    let middle = guard::until_next(gib, gib / 2, margin);
    assert!(middle > guard::SHORTEST && middle < Duration::from_secs(1), "{middle:?}");
}

#[test]
fn a_durable_task_is_known_by_its_log_and_made_to_append_to_it() {
    const LOG: &str = "/w/it is/p@tmp/durable-4ee2/jenkins-log.txt";
    let command = |last: &str| ["nohup", "sh", "-c", last].map(str::to_owned).to_vec();
    for (output, appending) in [
        ("> 'LOG' 2>&1", ">> 'LOG' 2>&1"),
        (
            "> '/w/it is/p@tmp/durable-4ee2/output.txt' 2> 'LOG'",
            "> '/w/it is/p@tmp/durable-4ee2/output.txt' 2>> 'LOG'",
        ),
    ] {
        let script = |output: &str| {
            format!("(cp 'a' 'b'; {{ while [ -d 'd' ]; do touch 'LOG'; sleep 3; done }} & sh -xe 'b' {output}; wait) >&- 2>&- &")
                .replace("LOG", LOG)
        };
        let mut arguments = command(&script(output));
        assert_eq!(task_log(&mut arguments), Some(PathBuf::from(LOG)));
        assert_eq!(arguments, command(&script(appending)));
        // What appends already is some other script, of which nothing is known.
        assert_eq!(task_log(&mut arguments), None);
    }
    for other in [
        "make all",
        "cat jenkins-log.txt",
        "cat /etc/jenkins-log.txt",
        "make > '/etc/jenkins-log.txt'",
        "make > '/w/durable-1/../x/jenkins-log.txt'",
        "touch '/w/durable-1/jenkins-log.txt'",
        "-log=/w/durable-1/jenkins-log.txt",
    ] {
        let mut arguments = command(other);
        assert_eq!(task_log(&mut arguments), None, "{other}");
        assert_eq!(arguments, command(other));
    }
}

/// A control group of version 2 made of plain files, and a durable task whose processes are real.
struct Fixture {
    root: tempfile::TempDir,
    children: Vec<Child>,
    /// Of this test alone: others run beside it.
    cookie: String,
}

impl Fixture {
    fn new() -> Self {
        let cookie = uuid::Uuid::new_v4().to_string();
        let fixture = Self { root: tempfile::tempdir().unwrap(), children: Vec::new(), cookie };
        fs::create_dir_all(fixture.root.path().join("group")).unwrap();
        fs::create_dir_all(fixture.directory()).unwrap();
        fs::create_dir_all(fixture.internal()).unwrap();
        fs::write(fixture.log(), "+ make\n").unwrap();
        fixture.set("memory.max", &(1000 * MIB).to_string());
        fixture.set("memory.current", "1000");
        fixture.set("memory.events", "oom 0\noom_kill 0\n");
        fixture
    }

    fn set(&self, file: &str, text: &str) {
        // As the kernel has it: never seen half written.
        let path = self.root.path().join("group").join(file);
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn group(&self) -> MemoryGroup {
        let directory = self.root.path().join("group");
        MemoryGroup::at(Version::V2, &directory, &directory)
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("ws@tmp/durable-1")
    }

    fn internal(&self) -> PathBuf {
        self.root.path().join("remoting")
    }

    fn log(&self) -> PathBuf {
        self.directory().join("jenkins-log.txt")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    fn step(&self) -> NewStep {
        NewStep {
            label: "p #1".to_owned(),
            cookie: self.cookie.clone(),
            log: Some(self.log()),
            container: None,
            measured: None,
        }
    }

    /// A process of the build that holds so much memory, in MiB.
    fn hold(&mut self, mebibytes: u32) -> ProcessIdentity {
        let script = format!(
            "x=$(head -c {} /dev/zero | tr '\\0' x); echo ready; read y",
            u64::from(mebibytes) * MIB
        );
        let mut child = Command::new("bash")
            .args(["-c", &script])
            .env("HUDSON_COOKIE", &self.cookie)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let pid = child.id();
        self.children.push(child);
        let table = pilotfish_process::processes().unwrap();
        table.into_iter().map(|one| one.identity).find(|one| one.pid == pid).unwrap()
    }

    fn list_processes(&self) {
        let own = std::process::id();
        let pids = self.children.iter().map(Child::id).chain([own]);
        self.set("cgroup.procs", &pids.map(|pid| format!("{pid}\n")).collect::<String>());
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_agent_ends_the_largest_process_below_the_limit() {
    let mut fixture = Fixture::new();
    let (small, large) = (fixture.hold(5), fixture.hold(40));
    fixture.list_processes();
    fixture.set("memory.oom.group", "1\n");
    fixture.set("memory.peak", &(970 * MIB).to_string());
    let memory = Memory::new(Some(fixture.group()), Margin::Bytes(50 * MIB), None);
    memory.begin(fixture.step());
    memory.watch();
    // What is only cache of files is no reason.
    fixture.set("memory.stat", &format!("inactive_file {}\n", 600 * MIB));
    fixture.set("memory.current", &(960 * MIB).to_string());
    std::thread::sleep(Duration::from_millis(1200));
    assert!(large.is_alive());
    fixture.set("memory.stat", "inactive_file 0\n");
    eventually("the largest process is ended", || !large.is_alive());
    fixture.set("memory.current", &(100 * MIB).to_string());
    assert!(small.is_alive(), "the smaller one goes on");
    let text = fixture.text();
    let line = text.lines().nth(1).unwrap();
    let start =
        format!("[pilotfish] Out of memory: the agent killed process {} (bash, ", large.pid);
    assert!(line.starts_with(&start), "{line}");
    assert!(line.contains("960 MiB of 1000 MiB were in use"), "{line}");
    assert!(line.contains("memory.oom.group is 1; limit 1000 MiB, peak 970 MiB"), "{line}");
    // The end of the step is no reason to tell it again.
    memory.task_ended(&fixture.directory(), KILLED);
    assert_eq!(fixture.text(), text);
}

#[test]
fn without_the_group_setting_or_with_the_guard_off_nothing_is_ended() {
    for (setting, margin) in [("0\n", Margin::Auto), ("1\n", Margin::Off)] {
        let mut fixture = Fixture::new();
        let process = fixture.hold(5);
        fixture.list_processes();
        fixture.set("memory.oom.group", setting);
        fixture.set("memory.current", &(999 * MIB).to_string());
        let memory = Memory::new(Some(fixture.group()), margin, None);
        memory.begin(fixture.step());
        let group = fixture.group();
        let mut window = Window::new(Instant::now());
        for _ in 0..3 {
            memory.look(&group, &mut window);
        }
        assert!(process.is_alive(), "{setting}");
        assert_eq!(fixture.text(), "+ make\n");
    }
}

#[test]
fn a_kill_of_the_kernel_is_told_with_the_process() {
    let mut fixture = Fixture::new();
    let (_small, large) = (fixture.hold(5), fixture.hold(20));
    fixture.list_processes();
    fixture.set("memory.current", &(950 * MIB).to_string());
    fixture.set("memory.peak", &(1000 * MIB).to_string());
    let memory = Memory::new(Some(fixture.group()), Margin::Auto, None);
    memory.begin(fixture.step());
    let group = fixture.group();
    let mut window = Window::new(Instant::now());
    memory.look(&group, &mut window);
    assert!(large.kill().unwrap());
    guard::wait_for_end(large);
    fixture.set("memory.events", "oom 1\noom_kill 1\n");
    // The controller may ask for the status before the next look.
    memory.task_ended(&fixture.directory(), KILLED);
    let text = fixture.text();
    assert!(
        text.contains(&format!("the kernel killed process {} (bash, ", large.pid))
            && text.contains("(limit 1000 MiB, peak 1000 MiB)"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2, "told once: {text}");
}

#[test]
fn a_step_that_fails_is_told_where_the_process_is_unknown() {
    let fixture = Fixture::new();
    let memory = Memory::new(Some(fixture.group()), Margin::Auto, None);
    memory.begin(fixture.step());
    let stream = || NewStep {
        label: String::new(),
        cookie: "other".to_owned(),
        log: None,
        container: None,
        measured: None,
    };
    let (failing, fine) = (memory.begin(stream()), memory.begin(stream()));
    fixture.set("memory.events", "oom 2\noom_kill 2\n");
    memory.task_ended(&fixture.directory(), 1);
    assert!(
        fixture
            .text()
            .contains("the kernel killed 2 processes of the agent's container while this step ran")
    );
    assert_eq!(memory.stream_ended(fine, ExitStatus::Exited(0)), Vec::<String>::new());
    let lines = memory.stream_ended(failing, ExitStatus::Signaled(9));
    assert!(lines.len() == 1 && lines[0].contains("2 processes"), "{lines:?}");
    // One that begins afterwards has nothing to do with it.
    let later = memory.begin(stream());
    assert_eq!(memory.stream_ended(later, ExitStatus::Signaled(9)), Vec::<String>::new());
}

#[test]
fn the_next_life_knows_since_when_a_stage_that_still_runs_is_measured() {
    let mut fixture = Fixture::new();
    fixture.hold(1);
    let stage = |name: &str| Stage { build: "shop\t%#7".to_owned(), stage: name.to_owned() };
    let record = |name: &str, peak_before| Record {
        stage: stage(name),
        at_ms: 1_000,
        cpu_ms: 20,
        peak_before,
        shared: false,
    };
    let life = || Memory::new(None, Margin::Auto, Some(&fixture.internal()));
    let first = life();
    for peak in [Some(5), None] {
        first.begin(NewStep { measured: Some(record("unit", peak)), ..fixture.step() });
    }
    drop(first);
    let second = life();
    let taken = second.recover(&|_| true, &no_container);
    let expected = [Some(5), None].map(|peak| (fixture.log(), record("unit", peak)));
    assert_eq!(taken, expected, "two processes of one stage");
    // Beside another stage its figures are nobody's.
    second.begin(NewStep { measured: Some(record("docs", None)), ..fixture.step() });
    drop(second);
    assert!(life().recover(&|_| true, &no_container).iter().all(|(_, one)| one.shared));
}

#[test]
fn the_next_life_tells_what_died_and_gives_it_a_status() {
    let fixture = Fixture::new();
    fixture.set("memory.current", &(990 * MIB).to_string());
    let first = Memory::new(Some(fixture.group()), Margin::Auto, Some(&fixture.internal()));
    first.begin(fixture.step());
    drop(first);
    let second = Memory::new(None, Margin::Auto, Some(&fixture.internal()));
    second.recover(&|_| true, &no_container);
    let text = fixture.text();
    assert!(text.contains("the agent's container was most likely killed while this step ran; when last seen it used 990 MiB (limit 1000 MiB"), "{text}");
    let result = fixture.directory().join("jenkins-result.txt");
    assert_eq!(fs::read_to_string(&result).unwrap(), "137\n");
    assert!(!fixture.internal().join("running-steps").exists());
    // A life after that has nothing to tell.
    Memory::new(None, Margin::Auto, Some(&fixture.internal())).recover(&|_| true, &no_container);
    assert_eq!(fixture.text(), text);
}

/// No step of the tests runs in another container.
fn no_container(name: &str, _: &str) -> Result<bool, String> {
    Err(format!("asked for {name}"))
}

#[test]
fn the_next_life_asks_other_containers_for_their_steps() {
    for (answer, told, left) in [
        (Ok(true), "", 1),
        (Ok(false), "ran in container \"maven\" and left no exit status", 0),
        (
            Err("container \"maven\" has ended: x".to_owned()),
            "[pilotfish] container \"maven\" has",
            0,
        ),
    ] {
        let fixture = Fixture::new();
        let first = Memory::new(None, Margin::Off, Some(&fixture.internal()));
        let step = first.begin(NewStep { container: Some("maven".to_owned()), ..fixture.step() });
        assert_eq!(first.running().len(), 1, "{step:?}");
        drop(first);
        let second = Memory::new(None, Margin::Off, Some(&fixture.internal()));
        second.recover(&|_| true, &|container, cookie| {
            assert_eq!((container, cookie), ("maven", fixture.cookie.as_str()));
            answer.clone()
        });
        assert!(fixture.text().contains(told), "{}", fixture.text());
        assert_eq!(second.inner().steps.tasks().count(), left);
        assert_eq!(fixture.directory().join("jenkins-result.txt").exists(), left == 0);
    }
}

#[test]
fn the_next_life_takes_over_what_still_runs() {
    let mut fixture = Fixture::new();
    fixture.hold(1);
    let first = Memory::new(Some(fixture.group()), Margin::Auto, Some(&fixture.internal()));
    first.begin(fixture.step());
    drop(first);
    let second = Memory::new(Some(fixture.group()), Margin::Auto, Some(&fixture.internal()));
    second.recover(&|_| true, &no_container);
    assert_eq!(fixture.text(), "+ make\n");
    assert!(!fixture.directory().join("jenkins-result.txt").exists());
    assert_eq!(second.inner().steps.tasks().count(), 1);
    assert!(fixture.internal().join("running-steps").exists());
}

#[test]
fn a_forged_file_writes_nowhere_else() {
    let fixture = Fixture::new();
    let outside = fixture.root.path().join("durable-x");
    fs::create_dir(&outside).unwrap();
    let elsewhere = outside.join("other.txt");
    fs::write(&elsewhere, "kept").unwrap();
    std::os::unix::fs::symlink(&elsewhere, outside.join("jenkins-log.txt")).unwrap();
    let lines = [elsewhere.clone(), outside.join("jenkins-log.txt"), fixture.log()]
        .map(|log| format!("step\tp\tc\t{}\n", log.display()))
        .concat();
    let text = format!("pilotfish running steps 1\n{lines}");
    fs::write(fixture.internal().join("running-steps"), text).unwrap();
    let memory = Memory::new(None, Margin::Off, Some(&fixture.internal()));
    memory.recover(&|log| log != fixture.log(), &no_container);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
    assert_eq!(
        fixture.text(),
        "+ make\n",
        "where the controller may not write, the agent does not either"
    );
}

proptest! {
    #[test]
    fn any_file_is_read_or_ignored(text in "(pilotfish running steps 1\n)?(\\PC|\t|\n){0,200}") {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("running-steps"), text).unwrap();
        Memory::new(None, Margin::Off, Some(root.path())).recover(&|_| false, &no_container);
    }
}
