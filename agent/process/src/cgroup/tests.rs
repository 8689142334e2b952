use proptest::prelude::*;

use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

fn directories(membership: &str, mounts: &str) -> Vec<PathBuf> {
    find::candidates(membership, mounts).iter().map(|one| one.directory().to_owned()).collect()
}

fn paths(texts: &[&str]) -> Vec<PathBuf> {
    texts.iter().map(PathBuf::from).collect()
}

#[test]
fn both_versions_are_found_on_a_machine_with_both() {
    let membership = "4:memory:/builds/7\n3:cpuset:/\n0::/\n";
    let found = find::candidates(membership, HYBRID);
    assert_eq!(found[0].version(), Version::V1);
    assert_eq!(
        found[0].directories,
        paths(&[
            "/sys/fs/cgroup/memory/builds/7",
            "/sys/fs/cgroup/memory/builds",
            "/sys/fs/cgroup/memory",
        ])
    );
    assert_eq!(found[1].version(), Version::V2);
    assert_eq!(found[1].directory(), Path::new("/sys/fs/cgroup/unified"));
}

#[test]
fn containers_are_found_with_a_namespace_and_without() {
    let mount = |root: &str| format!("9 8 0:26 {root} /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    let root = paths(&["/sys/fs/cgroup"]);
    // With a namespace the container's group is the root of all that it sees.
    assert_eq!(directories("0::/\n", &mount("/")), root);
    // Without one, the path is the host's, and the mount's root too.
    assert_eq!(directories("0::/kubepods/pod1/c1\n", &mount("/kubepods/pod1/c1")), root);
    assert_eq!(
        directories("0::/kubepods/pod1/c1/x\n", &mount("/kubepods/pod1")),
        paths(&["/sys/fs/cgroup/c1/x"])
    );
    // A process moved out of the namespace's root.
    assert_eq!(directories("0::/../other\n", &mount("/")), root);
    assert_eq!(directories("0::/elsewhere\n", &mount("/kubepods/pod1")), root);
    assert_eq!(
        directories("0::/a b\n", "9 8 0:26 / /sys/my\\040group ro - cgroup2 cgroup rw\n"),
        paths(&["/sys/my group/a b"])
    );
}

/// Files of a group of version 2, as a kubelet sets them up.
fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, MemoryGroup) {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let group = MemoryGroup::at(Version::V2, &root.path().join("pod/c"), root.path());
    (root, group)
}

#[test]
fn version_2_is_read_with_the_limit_of_a_parent() {
    let (_root, group) = group(&[
        ("pod/memory.max", "1000\n"),
        ("pod/c/memory.max", "max\n"),
        ("pod/c/memory.current", "900\n"),
        ("pod/c/memory.peak", "950\n"),
        ("pod/c/memory.stat", "anon 1\nactive_file 100\ninactive_file 50\nslab_reclaimable 7\n"),
        ("pod/c/memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 4\n"),
        ("pod/c/memory.oom.group", "1\n"),
        ("pod/c/memory.pressure", "some avg10=0.00 total=12\nfull avg10=1.50 total=7\n"),
        ("pod/c/cgroup.procs", "12\n13\n"),
        ("pod/c/build/cgroup.procs", "14\n"),
    ]);
    let expected = MemoryState {
        limit: Some(1000),
        usage: Some(900),
        held: Some(743),
        peak: Some(950),
        oom_kills: Some(1),
    };
    assert_eq!(group.state(), expected);
    assert_eq!(group.pressure(), Some(Pressure { some: 12, full: 7 }));
    assert!(group.ends_as_one());
    assert_eq!(group.processes(), [12, 13, 14]);
}

#[test]
fn what_is_missing_is_not_invented() {
    let (_root, group) = group(&[("pod/c/memory.oom.group", "0\n"), ("pod/c/memory.max", "x")]);
    assert_eq!(group.state(), MemoryState::default());
    assert_eq!(group.pressure(), None);
    assert!(!group.ends_as_one());
    assert!(group.processes().is_empty());
}

#[test]
fn the_group_of_this_process_is_read() {
    let Some(group) = MemoryGroup::own() else {
        eprintln!("SKIPPED: no memory controller is mounted here");
        return;
    };
    let state = group.state();
    assert!(state.usage.is_some_and(|usage| usage > 0), "{state:?} of {group:?}");
    assert!(state.held <= state.usage);
    assert!(group.processes().contains(&std::process::id()), "{group:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_passed_over(membership in "\\PC{0,80}", mounts in "\\PC{0,120}") {
        let _ = find::candidates(&membership, &mounts);
        let _ = Pressure::parse(&mounts);
    }

    #[test]
    fn no_group_is_outside_its_mount(path in "(/(\\.\\.|[a-b]|x y)){0,5}", root in "(/[a-b]){0,3}") {
        let mount = format!("9 8 0:26 {} /m ro - cgroup2 c rw\n", if root.is_empty() { "/" } else { &root });
        for group in find::candidates(&format!("0::{path}\n"), &mount) {
            prop_assert!(group.directory().starts_with("/m"));
            prop_assert!(!group.directory().to_string_lossy().contains(".."));
        }
    }
}

#[test]
fn processor_time_is_read_in_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("cpuacct.usage"), "1500000000\n").unwrap();
    fs::write(root.join("cpu.stat"), "usage_usec 2500000\nuser_usec 1\n").unwrap();
    let used = |version| CpuGroup::at(version, root).used();
    assert_eq!(used(Version::V1), Some(std::time::Duration::from_millis(1500)));
    assert_eq!(used(Version::V2), Some(std::time::Duration::from_millis(2500)));
    assert_eq!(CpuGroup::at(Version::V2, Path::new("/no/such")).used(), None);
    let of_cpu = find::places(
        "2:cpu,cpuacct:/a\n",
        "9 8 0:1 / /sys/c rw - cgroup c rw,cpu,cpuacct\n",
        "cpuacct",
    );
    assert_eq!(of_cpu[0].directory, Path::new("/sys/c/a"));
}

#[test]
fn the_working_set_leaves_out_what_was_not_used_lately() {
    let (_root, group) = group(&[
        ("pod/c/memory.current", "1000"),
        ("pod/c/memory.stat", "anon 500\ninactive_file 300\nactive_file 200\n"),
    ]);
    assert_eq!(group.working_set(), Some(WorkingSet { bytes: 700, cache: 300 }));
}

#[test]
fn a_peak_counts_from_its_beginning() {
    let (root, group) = group(&[("pod/c/memory.peak", "900")]);
    let file = root.path().join("pod/c/memory.peak");
    let mut peak = group.peak_from_now(false);
    assert_eq!(peak.most(), None, "it was before");
    fs::write(&file, "901").unwrap();
    assert_eq!(peak.most(), Some(901));
    // A plain file keeps what is written into it, and so takes part as a kernel that counts anew.
    let mut peak = group.peak_from_now(true);
    assert_eq!(peak.most(), Some(1), "its first figure is written over: 001");
}
