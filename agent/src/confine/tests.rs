use std::os::unix::fs::symlink;

use super::*;

struct Fixture {
    _root: tempfile::TempDir,
    work: PathBuf,
    outside: PathBuf,
}

fn fixture() -> Fixture {
    let root = tempfile::tempdir().unwrap();
    let base = fs::canonicalize(root.path()).unwrap();
    let (work, outside) = (base.join("work"), base.join("outside"));
    for directory in [&work.join("ws/sub"), &work.join("remoting"), &outside] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(work.join("ws/file"), "file").unwrap();
    symlink(&outside, work.join("ws/link")).unwrap();
    symlink("../../outside/secret", work.join("ws/file-link")).unwrap();
    symlink("../../outside/none", work.join("ws/dangling")).unwrap();
    symlink("loop", work.join("ws/loop")).unwrap();
    symlink("sub", work.join("ws/inner")).unwrap();
    Fixture { _root: root, work, outside }
}

fn confinement(fixture: &Fixture, by_kernel: bool, allowed: &[PathBuf]) -> Confinement {
    let options = ConfineOptions { allowed: allowed.to_vec() };
    Confinement::with_kernel(&fixture.work, &fixture.work.join("remoting"), &options, by_kernel)
        .unwrap()
}

#[test]
fn paths_are_judged_by_where_they_lead() {
    let fixture = fixture();
    let confinement = confinement(&fixture, false, &[]);
    let allows = |path: &str| confinement.allows(&fixture.work.join(path));
    for inside in
        ["", "ws/file", "ws/new/file", "ws/sub/../file", "ws/inner/x", "ws/link/../work/ws"]
    {
        assert!(allows(inside), "{inside}");
    }
    for outside in [
        "..",
        "../outside",
        "../work-2",
        "ws/link",
        "ws/link/x",
        "ws/file-link",
        "ws/dangling",
        "ws/loop/x",
        "ws/inner/../../..",
        "/",
        "/etc/passwd",
    ] {
        assert!(!allows(outside), "{outside}");
    }
    // A link itself can be removed or replaced; what is behind it cannot.
    let limits = &confinement.limits;
    assert!(limits.check(&fixture.work.join("ws/link"), false).is_ok());
    assert!(limits.check(&fixture.work.join("ws/link/secret"), false).is_err());
    let error = limits.check(&fixture.outside, true).unwrap_err();
    assert_eq!(error.class(), JavaClass::AccessDenied);
    assert!(error.to_string().contains("started with --confine"), "{error}");
}

#[test]
fn named_directories_are_allowed_and_must_exist() {
    let fixture = fixture();
    let confinement = confinement(&fixture, false, std::slice::from_ref(&fixture.outside));
    assert!(confinement.allows(&fixture.work.join("ws/link/secret")));
    assert!(!confinement.allows(Path::new("/etc")));
    let options = ConfineOptions { allowed: vec![fixture.outside.join("none")] };
    let error =
        Confinement::new(&fixture.work, &fixture.work.join("remoting"), &options).unwrap_err();
    assert!(error.to_string().ends_with("Create it, or do not name it"), "{error}");
}

#[test]
fn temporary_files_are_inside_unless_tmp_is_allowed() {
    let fixture = fixture();
    assert_eq!(confinement(&fixture, false, &[]).temporary(), fixture.work.join("remoting/tmp"));
    assert!(fixture.work.join("remoting/tmp").is_dir());
    assert_eq!(confinement(&fixture, false, &["/tmp".into()]).temporary(), Path::new("/tmp"));
}

#[tokio::test]
async fn other_threads_are_free() {
    let fixture = fixture();
    let confinement = confinement(&fixture, landlock::is_available(), &[]);
    let secret = fixture.outside.join("secret");
    assert!(check_here(&secret, true).is_ok());
    let path = secret.clone();
    let inside = confinement.threads().run(move || check_here(&path, true).is_ok()).await;
    assert_eq!(inside, Ok(false));
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    let child = tokio::process::Command::new("cat").arg(&secret).output().await.unwrap();
    assert_eq!(child.stdout, b"secret");
}

#[tokio::test]
async fn the_kernel_refuses_what_no_check_saw() {
    if !landlock::is_available() {
        assert!(std::env::var_os("CI").is_none(), "CI has Landlock");
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    let fixture = fixture();
    let confinement = confinement(&fixture, true, &[]);
    let (work, outside) = (fixture.work.clone(), fixture.outside.clone());
    let tried = confinement.threads().run(move || {
        let denied = |result: io::Result<()>| {
            result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        let crossing = |result: io::Result<()>| result.is_err();
        [
            ("read", denied(fs::read(outside.join("secret")).map(drop))),
            ("read by link", denied(fs::read(work.join("ws/file-link")).map(drop))),
            ("read by ..", denied(fs::read(work.join("../outside/secret")).map(drop))),
            ("write", denied(fs::write(outside.join("new"), ""))),
            ("list", denied(fs::read_dir(&outside).map(drop))),
            ("remove", denied(fs::remove_file(outside.join("secret")))),
            ("make", denied(fs::create_dir(outside.join("new")))),
            ("rename out", crossing(fs::rename(work.join("ws/file"), outside.join("file")))),
            ("rename in", crossing(fs::rename(outside.join("secret"), work.join("ws/secret")))),
            ("link in", crossing(fs::hard_link(outside.join("secret"), work.join("ws/secret")))),
            (
                "inside",
                fs::write(work.join("ws/new"), "x").is_ok()
                    && fs::rename(work.join("ws/new"), work.join("ws/sub/new")).is_ok()
                    && fs::read(work.join("ws/sub/new")).is_ok_and(|read| read == b"x")
                    && fs::remove_file(work.join("ws/sub/new")).is_ok(),
            ),
        ]
    });
    for (what, as_expected) in tried.await.unwrap() {
        assert!(as_expected, "{what}");
    }
    assert_eq!(fs::read(fixture.outside.join("secret")).unwrap(), b"secret");
}

#[tokio::test]
async fn without_the_kernel_walks_follow_no_link_outside() {
    use crate::files::glob::DirectoryScanner;
    use crate::files::links::LinkCheck;
    let fixture = fixture();
    let confinement = confinement(&fixture, false, &[]);
    let ws = fixture.work.join("ws");
    fs::write(ws.join("sub/deep"), "").unwrap();
    let found = |threads: FileThreads| {
        let ws = ws.clone();
        async move {
            let scan = move || {
                let scanner =
                    DirectoryScanner::new(Some("**, link/secret"), None, true, true, true);
                let found = scanner.scan(&ws, &crate::files::Cancel::new()).unwrap().files;
                let mut found: Vec<String> =
                    found.iter().map(|path| path.to_string_lossy().into_owned()).collect();
                found.sort();
                (found, LinkCheck::default().open(&ws.join("file-link")).is_ok())
            };
            threads.run(scan).await.unwrap()
        }
    };
    let (free, opens) = found(FileThreads::default()).await;
    assert!(opens && free.contains(&"link/secret".to_owned()), "{free:?}");
    let (confined, opens) = found(confinement.threads().clone()).await;
    assert!(!opens && confined.iter().all(|path| !path.contains("link")), "{confined:?}");
    assert!(
        confined.contains(&"inner/deep".to_owned()),
        "links that stay inside are followed: {confined:?}"
    );
}
