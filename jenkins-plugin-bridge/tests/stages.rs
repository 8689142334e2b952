//! The stages of the shipped catalog, tried on small projects with the real tools of this machine.
//!
//! A stage whose tool is not here is skipped with a line on standard error that names both. With
//! `PILOTFISH_TEST_TOOLS=required` a missing tool is a failure instead. Where a real tool would need
//! a server (a cluster, a registry, SonarQube), a stand-in on the search path shows the exact
//! arguments and variables that it would get.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage_world;

use stage_world::{World, download, missing, program};

#[test]
fn checkout_fetches_and_tells_what_changed() {
    if missing("checkout", &["git"]) {
        return;
    }
    let mut world = World::new();
    world.commit(&[("a.txt", "1"), ("näme b.txt", "2")]);
    world.commit(&[("a.txt", "3")]);
    let run = world.stage("checkout", "{repository: repository}", &[]);
    run.passed();
    assert_eq!(run.changed_files(), ["a.txt"]);
    assert_eq!(world.read("workspace/a.txt"), "3");
    // A pull request is compared with its target, whatever the last commit was.
    world.git(&["branch", "target", "HEAD~1"]);
    world.commit(&[("näme b.txt", "4")]);
    world = world.afresh();
    let run = world.stage("checkout", "{repository: repository}", &["--pull-request", "target"]);
    run.passed();
    assert_eq!(run.changed_files(), ["a.txt", "näme b.txt"]);
    // A build of a branch or tag takes that one, unless a revision is asked for.
    world.git(&["tag", "v1", "HEAD~1"]);
    for (parameters, fact, text, files) in [
        ("{repository: repository}", ["--branch", "target"], "1", "2"),
        ("{repository: repository}", ["--tag", "v1"], "3", "2"),
        ("{repository: repository, revision: v1}", ["--branch", "target"], "3", "2"),
    ] {
        world = world.afresh();
        world.stage("checkout", parameters, &fact).passed();
        assert_eq!(world.read("workspace/a.txt"), text, "{parameters} {fact:?}");
        assert_eq!(world.read("workspace/näme b.txt"), files, "{parameters} {fact:?}");
    }
    // What the target got since is no change of a pull request.
    world.git(&["checkout", "-q", "target"]);
    world.commit(&[("later.txt", "5")]);
    world = world.afresh();
    let facts = ["--pull-request", "target", "--tag", "v1"];
    let run = world.stage("checkout", "{repository: repository}", &facts);
    run.passed();
    assert_eq!(run.changed_files(), ["a.txt"]);
    // What is not there is a failure that says so.
    world = world.afresh();
    let run = world.stage("checkout", "{repository: repository, revision: no-such-branch}", &[]);
    run.failed();
    assert!(run.log().contains("no-such-branch"), "{}", run.log());
}

#[test]
fn checkout_of_one_commit_lists_all_files() {
    if missing("checkout", &["git"]) {
        return;
    }
    let world = World::new();
    world.commit(&[("a.txt", "1"), ("b/c.txt", "2")]);
    let run = world.stage("checkout", "{repository: repository}", &[]);
    run.passed();
    assert_eq!(run.changed_files(), ["a.txt", "b/c.txt"]);
}

#[test]
fn checkout_by_ssh_uses_the_key() {
    if missing("checkout by ssh", &["git"]) {
        return;
    }
    let world = World::new();
    world.commit(&[("a.txt", "1")]);
    world.write("key of mine", "secret key");
    // In place of ssh: what comes after the host runs here.
    world.program("ssh", "echo \"$*\" >> \"$RECORD\"\ncat \"$2\" >> \"$RECORD\"\nwhile [ \"$1\" != host ]; do shift; done\nshift\nexec sh -c \"$*\"");
    let repository = format!("ssh://host{}", world.path("repository").display());
    let with = format!("{{repository: '{repository}', git_credential: deploy}}");
    let run = world.stage("checkout", &with, &["--credential", "deploy=key of mine"]);
    run.passed();
    let record = world.read("record");
    assert!(record.contains("-o IdentitiesOnly=yes"), "{record}");
    assert!(record.contains("secret key"), "the path of the key is whole: {record}");
}

#[test]
fn unit_test_go() {
    if missing("unit-test-go", &["go"]) {
        return;
    }
    let world = World::new();
    world.project(&[
        ("go.mod", "module example.com/a\n\ngo 1.20\n"),
        ("a.go", "package a\n\nfunc Two() int { return 2 }\n"),
        (
            "a_test.go",
            "package a\n\nimport \"testing\"\n\nfunc TestTwo(t *testing.T) {\n\tif Two() != 2 {\n\t\tt.Fatal(\"<&\\x01\")\n\t}\n}\n\nfunc TestLater(t *testing.T) { t.Skip(\"later\") }\n",
        ),
    ]);
    world.use_cache("go/build", "go", &["env", "GOCACHE"]);
    let run = world.stage("unit-test-go", "{}", &[]);
    run.passed();
    assert_eq!(run.tests(), (2, 0));
    assert!(world.read("output/artifacts/it/coverage.out").contains("a.go:3"));
    world.write("workspace/a.go", "package a\n\nfunc Two() int { return 3 }\n");
    let run = world.stage("unit-test-go", "{}", &[]);
    run.failed();
    assert_eq!(run.tests(), (2, 1));
    assert!(run.log().contains("--- FAIL: TestTwo"), "{}", run.log());
    // A package that ends by itself has no test that failed, and is told all the same.
    world.write("workspace/a.go", "package a\n\nfunc Two() int { return 2 }\n");
    let main = "package b\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestMain(m *testing.M) { os.Exit(3) }\n";
    world.write("workspace/b/b_test.go", main);
    let run = world.stage("unit-test-go", "{}", &[]);
    run.failed();
    assert_eq!(run.tests(), (3, 1));
    // What is not vetted has no tests, and no report of those before.
    world.write("workspace/a.go", "package a\n\nfunc Two() int { return \"\" }\n");
    let run = world.stage("unit-test-go", "{}", &[]);
    run.failed();
    assert_eq!(run.tests(), (0, 0));
}

#[test]
fn unit_test_node() {
    if missing("unit-test-node", &["node", "npm"]) {
        return;
    }
    let world = World::new();
    let package = |test: &str| {
        format!("{{\"name\":\"a\",\"version\":\"1.0.0\",\"scripts\":{{\"test\":\"{test}\"}}}}")
    };
    world.project(&[("app/package.json", &package("node test.js"))]);
    world.write(
        "workspace/app/test.js",
        "require('fs').writeFileSync('junit.xml', '<testsuite name=\"s\"><testcase name=\"works\"/></testsuite>');",
    );
    let run = world.stage("unit-test-node", "{project_dir: app}", &[]);
    run.passed();
    assert_eq!(run.tests(), (1, 0));
    world.write("workspace/app/test.js", "process.exit(1)");
    world.stage("unit-test-node", "{project_dir: app}", &[]).failed();
}

#[test]
fn unit_test_maven() {
    if missing("unit-test-maven", &["mvn", "java"]) || !download("unit-test-maven") {
        return;
    }
    let world = World::new();
    world.project(&[
        (
            "pom.xml",
            "<project xmlns='http://maven.apache.org/POM/4.0.0'><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId><version>1</version><properties><maven.compiler.release>17</maven.compiler.release><project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties><dependencies><dependency><groupId>junit</groupId><artifactId>junit</artifactId><version>4.13.2</version><scope>test</scope></dependency></dependencies><build><plugins><plugin><artifactId>maven-compiler-plugin</artifactId><version>3.13.0</version></plugin><plugin><artifactId>maven-surefire-plugin</artifactId><version>3.2.5</version></plugin></plugins></build></project>",
        ),
        (
            "src/test/java/ATest.java",
            "public class ATest { @org.junit.Test public void works() { org.junit.Assert.assertEquals(2, 1 + 1); } }\n",
        ),
    ]);
    let run = world.stage("unit-test-maven", "{}", &[]);
    run.passed();
    assert_eq!(run.tests(), (1, 0));
    assert!(world.path("output/caches/maven/junit/junit").is_dir(), "the cache is used");
}

#[test]
fn unit_test_gradle() {
    if missing("unit-test-gradle", &["gradle", "java"]) || !download("unit-test-gradle") {
        return;
    }
    let world = World::new();
    world.project(&[
        (
            "build.gradle",
            "apply plugin: 'java'\nrepositories { mavenCentral() }\ndependencies { testImplementation 'junit:junit:4.13.2' }\n",
        ),
        ("settings.gradle", "rootProject.name = 'a'\n"),
        (
            "src/test/java/ATest.java",
            "public class ATest { @org.junit.Test public void works() { org.junit.Assert.assertEquals(2, 1 + 1); } }\n",
        ),
    ]);
    let run = world.stage("unit-test-gradle", "{}", &[]);
    run.passed();
    assert_eq!(run.tests(), (1, 0));
}

#[test]
fn unit_test_php() {
    if missing("unit-test-php", &["php", "composer", "phpunit"]) {
        return;
    }
    let world = World::new();
    // PHPUnit is the one of this machine: Composer installs a package that calls it, and asks no
    // registry.
    world.project(&[
        (
            "composer.json",
            r#"{"repositories": [{"packagist.org": false}, {"type": "path", "url": "phpunit"}], "require-dev": {"phpunit/phpunit": "*"}}"#,
        ),
        (
            "phpunit/composer.json",
            r#"{"name": "phpunit/phpunit", "version": "1.0.0", "bin": ["phpunit"]}"#,
        ),
        ("phpunit/phpunit", "#!/bin/sh\nexec phpunit \"$@\"\n"),
        ("phpunit.xml", "<phpunit><testsuites><testsuite name=\"all\"><directory>tests</directory></testsuite></testsuites></phpunit>"),
        (
            "tests/TwoTest.php",
            "<?php\nfinal class TwoTest extends PHPUnit\\Framework\\TestCase {\n  public function testTwo(): void { $this->assertSame(2, 1 + 1); }\n}\n",
        ),
    ]);
    let run = world.stage("unit-test-php", "{}", &[]);
    run.passed();
    assert_eq!(run.tests(), (1, 0));
}

const PYTHON_TEST: &str = "import unittest\n\nclass Two(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(2, 1 + 1)\n\n    def test_text(self):\n        self.assertEqual('<&\"', '<&\"')\n";

#[test]
fn unit_test_python_with_unittest() {
    if missing("unit-test-python", &["python3"]) {
        return;
    }
    let world = World::new();
    world.project(&[("test_two.py", PYTHON_TEST)]);
    let run = world.stage("unit-test-python", "{python_runner: unittest}", &[]);
    run.passed();
    assert_eq!(run.tests(), (2, 0));
    world.write("workspace/test_two.py", &PYTHON_TEST.replace("1 + 1", "1"));
    let run = world.stage("unit-test-python", "{python_runner: unittest}", &[]);
    run.failed();
    assert_eq!(run.tests(), (2, 1));
}

#[test]
fn unit_test_python_with_pytest() {
    if missing("unit-test-python with pytest", &["python3"])
        || !download("unit-test-python with pytest")
    {
        return;
    }
    let world = World::new();
    world.project(&[("test_two.py", PYTHON_TEST), ("requirements.txt", "")]);
    let run = world.stage("unit-test-python", "{}", &[]);
    run.passed();
    assert_eq!(run.tests(), (2, 0));
}

#[test]
fn unit_test_rust() {
    if missing("unit-test-rust", &["cargo"]) {
        return;
    }
    let world = World::new();
    world.project(&[
        (
            "Cargo.toml",
            "[package]\nname = \"a\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n",
        ),
        ("src/lib.rs", &rust_tests("1 + 1")),
    ]);
    let run = world.stage("unit-test-rust", "{}", &[]);
    run.passed();
    assert_eq!(run.tests(), (4, 0));
    world.write("workspace/src/lib.rs", &rust_tests("3"));
    let run = world.stage("unit-test-rust", "{}", &[]);
    run.failed();
    assert_eq!(run.tests(), (4, 2));
    let report = world.read("workspace/build/junit.xml");
    assert!(report.contains("<testcase classname=\"a\" name=\"two\">\n<failure>"), "{report}");
    assert!(report.contains("2 &lt; &quot;3&quot;"), "what the test said: {report}");
}

/// A test that says more than it should, one that panics as it should, one for later, and one in
/// the documentation.
fn rust_tests(two: &str) -> String {
    format!(
        "/// ```\n/// assert_eq!(2, {two});\n/// ```\npub fn nothing() {{}}\n\n#[test]\nfn two() {{\n    println!(\"2 < \\\"3\\\"\");\n    \
         assert_eq!(2, {two});\n}}\n\n#[test]\n#[should_panic]\nfn no() {{\n    panic!(\"no\");\n}}\n\n#[test]\n#[ignore]\nfn later() {{}}\n"
    )
}

#[test]
fn frontend_build_with_npm() {
    if missing("frontend-build with npm", &["node", "npm"]) {
        return;
    }
    let world = World::new();
    let script = "mkdir -p dist && echo built > dist/app.js";
    world.project(&[
        (
            "web/package.json",
            &format!(
                "{{\"name\":\"a\",\"version\":\"1.0.0\",\"scripts\":{{\"build\":\"{script}\"}}}}"
            ),
        ),
        (
            "web/package-lock.json",
            "{\"name\":\"a\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"requires\":true,\"packages\":{\"\":{\"name\":\"a\",\"version\":\"1.0.0\"}}}",
        ),
    ]);
    let run = world.stage("frontend-build", "{frontend_dir: web}", &[]);
    run.passed();
    assert_eq!(world.read("output/artifacts/it/web/dist/app.js"), "built\n");
}

#[test]
fn frontend_build_with_yarn_and_pnpm() {
    for tool in ["yarn", "pnpm"] {
        let name = format!("frontend-build with {tool}");
        if missing(&name, &["node"]) {
            continue;
        }
        let world = World::new();
        world.project(&[("package.json", "{\"name\":\"a\",\"version\":\"1.0.0\"}")]);
        // Corepack fetches the tool of the project; what it would be told is what counts here.
        world.program(
            "corepack",
            "echo \"$*\" >> \"$RECORD\"\nmkdir -p dist\necho \"$1\" > dist/app.js",
        );
        let run = world.stage("frontend-build", &format!("{{frontend_tool: {tool}}}"), &[]);
        run.passed();
        let frozen = if tool == "yarn" { "--immutable" } else { "--frozen-lockfile" };
        assert_eq!(world.read("record"), format!("{tool} install {frozen}\n{tool} build\n"));
        assert_eq!(world.read("output/artifacts/it/dist/app.js"), format!("{tool}\n"));
    }
}

#[test]
fn frontend_build_of_files() {
    if missing("frontend-build of files", &["sha256sum"]) {
        return;
    }
    let world = World::new();
    world.project(&[("index.html", "<p>"), ("css/a.css", "p{}")]);
    for _ in 0..2 {
        world.stage("frontend-build", "{frontend_tool: static}", &[]).passed();
    }
    assert_eq!(world.read("output/artifacts/it/dist/css/a.css"), "p{}");
    assert!(world.read("workspace/dist/checksums.txt").contains("index.html"));
}

#[test]
fn api_test_by_script() {
    let world = World::new();
    world.project(&[("tests/api.sh", "echo \"asked $BASE_URL\"\n")]);
    let with = "{api_tests: tests/api.sh, base_url: 'http://127.0.0.1:1/x'}";
    let run = world.stage("api-test", with, &[]);
    run.passed();
    assert!(run.log().contains("asked http://127.0.0.1:1/x"), "{}", run.log());
}

#[test]
fn api_test_with_newman() {
    if missing("api-test with newman", &["newman", "python3"]) {
        return;
    }
    let world = World::new();
    let collection = r#"{"info":{"name":"c","schema":"https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},"item":[{"name":"ask","event":[{"listen":"test","script":{"exec":["pm.test('answers', function () { pm.response.to.have.status(200); });"]}}],"request":{"method":"GET","url":"{{base_url}}/"}}]}"#;
    world.project(&[("c.json", collection)]);
    let server = world.server();
    let with =
        format!("{{api_tests: c.json, api_runner: newman, base_url: '{}'}}", server.address());
    let run = world.stage("api-test", &with, &[]);
    run.passed();
    assert_eq!(run.tests(), (1, 0));
}

#[test]
fn sonar_scan_arguments() {
    let world = World::new();
    world.project(&[("app/a.php", "<?php")]);
    world.program(
        "sonar-scanner",
        "printf '%s\\n' \"$@\" \"$PWD\" > \"$RECORD\"\necho \"with $SONAR_TOKEN\"",
    );
    world.write("token", "squ_0123456789\n");
    let with = "{project_dir: app, sonar_url: 'https://sonar.example.com', sonar_project: shop}";
    let run = world.stage("sonar-scan", with, &["--credential", "sonar-token=token"]);
    run.passed();
    assert_eq!(
        world.read("record").lines().collect::<Vec<_>>(),
        [
            "-Dsonar.host.url=https://sonar.example.com",
            "-Dsonar.projectKey=shop",
            "-Dsonar.qualitygate.wait=true",
            "-Dsonar.qualitygate.timeout=300",
            world.path("workspace/app").to_str().unwrap(),
        ]
    );
    assert!(run.log().contains("with ****"), "{}", run.log());
}

#[test]
fn image_build_arguments_of_buildah_and_buildkit() {
    for (builder, program, expected) in [
        (
            "buildah",
            "buildah",
            "build --authfile KEY --file app/Dockerfile --tag r.example.com/a:1 app\npush --authfile KEY --digestfile image-digest.txt r.example.com/a:1\n",
        ),
        (
            "buildkit",
            "buildctl-daemonless.sh",
            "build --frontend dockerfile.v0 --local context=app --local dockerfile=app --opt filename=Dockerfile --metadata-file image-metadata.json --output type=image,name=r.example.com/a:1,push=true\n",
        ),
    ] {
        let world = World::new();
        world.project(&[("app/Dockerfile", "FROM scratch\n")]);
        world.write("registry.json", "{\"secret\": \"of the registry\"}");
        let script = "echo \"$*\" >> \"$RECORD\"\n\
             if [ -n \"${DOCKER_CONFIG:-}\" ]; then cp \"$DOCKER_CONFIG/config.json\" \"$RECORD.key\"; fi\n\
             if grep -rs 'of the registry' .; then exit 1; fi\n\
             printf DIGEST > image-digest.txt\n\
             printf '{\\n  \"a\": {},\\n  \"containerimage.digest\": \"DIGEST\",\\n  \"b\": 1\\n}' > image-metadata.json";
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        world.program(program, &script.replace("DIGEST", &digest));
        // The programs of the other builders are asked for too, as one parameter chooses.
        let with = format!(
            "{{project_dir: app, image: r.example.com/a, image_tag: '1', image_builder: {builder}, registry_credential: r}}"
        );
        let run = world.stage("image-build", &with, &["--credential", "r=registry.json"]);
        run.passed();
        let key = world.path("registry.json").display().to_string();
        assert_eq!(world.read("record"), expected.replace("KEY", &key));
        if builder == "buildkit" {
            assert_eq!(world.read("record.key"), world.read("registry.json"));
        }
        let kept = world.read("output/artifacts/it/image-digest.txt");
        assert_eq!(kept.trim_end(), digest);
        assert_eq!(
            run.outputs(),
            serde_json::json!({"digest": digest, "image": format!("r.example.com/a@{digest}")})
        );
    }
}

#[test]
fn deploy_rsync_copies_with_the_key() {
    if missing("deploy-rsync", &["rsync"]) {
        return;
    }
    let world = World::new();
    world.project(&[("site/index.html", "<p>"), ("site/.git/config", "x")]);
    world.write("key", "secret key");
    std::fs::create_dir(world.path("server")).unwrap();
    // In place of ssh: the other end of rsync runs here.
    world.program(
        "ssh",
        "echo \"$*\" >> \"$RECORD\"\ncat \"$2\" >> \"$RECORD\"\nwhile :; do case \"$1\" in *.example.com) break;; esac; shift; done\nshift\nexec \"$@\"",
    );
    let with = format!(
        "{{deploy_hosts: [a.example.com, b.example.com], deploy_path: '{}', deploy_source: site}}",
        world.path("server").display()
    );
    let run = world.stage("deploy-rsync", &with, &["--credential", "deploy-key=key"]);
    run.passed();
    assert_eq!(world.read("server/index.html"), "<p>");
    assert!(!world.path("server/.git").exists());
    let record = world.read("record");
    assert_eq!(record.matches("secret key").count(), 2, "{record}");
    assert!(record.contains("-o BatchMode=yes"), "{record}");
    for host in ["a.example.com", "b.example.com"] {
        assert!(run.log().contains(&format!("copy to {host}")), "{}", run.log());
    }
    // A server that is away fails the stage.
    world.program("ssh", "exit 255");
    world.stage("deploy-rsync", &with, &["--credential", "deploy-key=key"]).failed();
}

#[test]
fn deploy_kubectl_arguments() {
    let world = World::new();
    world.project(&[("k8s/a.yaml", "kind: ConfigMap\n")]);
    world.write("access", "kind: Config\n");
    world.program("kubectl", "echo \"$*\" >> \"$RECORD\"");
    let with = "{manifests: k8s, namespace: shop, rollout: deployment/shop}";
    world.stage("deploy-kubectl", with, &["--credential", "kubeconfig=access"]).passed();
    let access = world.path("access").display().to_string();
    assert_eq!(
        world.read("record"),
        format!(
            "--kubeconfig {access} --namespace shop apply --recursive --filename k8s\n--kubeconfig {access} --namespace shop rollout status deployment/shop --timeout 10m\n"
        )
    );
}

/// With the real program where it is installed: what is applied has the digest and is else the same.
#[test]
fn deploy_kubectl_pins_the_image() {
    if missing("deploy-kubectl with a digest", &["kubectl"]) {
        return;
    }
    let world = World::new();
    let manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  template:\n    spec:\n      containers:\n        - {name: shop, image: 'r.example.com:5000/team/shop:1'}\n        - {name: other, image: 'r.example.com:5000/team/shop-tools:1'}\n";
    world.project(&[("k8s/sub dir/a.yml", manifest)]);
    world.write("access", "kind: Config\n");
    let real = program("kubectl");
    world.program(
        "kubectl",
        &format!(
            "if [ \"$1\" = kustomize ]; then exec {real} \"$@\"; fi\nfor last; do :; done\ncat \"$last\" > \"$RECORD\""
        ),
    );
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let with = format!(
        "{{manifests: k8s, namespace: shop, image: 'r.example.com:5000/team/shop', image_digest: '{digest}'}}"
    );
    world.stage("deploy-kubectl", &with, &["--credential", "kubeconfig=access"]).passed();
    let applied = world.read("record");
    assert!(
        applied.contains(&format!("image: r.example.com:5000/team/shop@{digest}\n")),
        "{applied}"
    );
    assert!(applied.contains("image: r.example.com:5000/team/shop-tools:1\n"), "{applied}");
}

#[test]
fn deploy_helm_arguments() {
    let world = World::new();
    world.project(&[("chart/Chart.yaml", "name: shop\nversion: 1.0.0\n")]);
    world.write("access", "kind: Config\n");
    world.program("helm", "echo \"$*\" >> \"$RECORD\"\ncat \"$VALUES_FILE\"");
    let with = "{release: shop, namespace: shop, helm_values: \"a: '$(id)'\", image_tag: 1.2.3}";
    let run = world.stage("deploy-helm", with, &["--credential", "kubeconfig=access"]);
    run.passed();
    let record = world.read("record");
    assert!(record.starts_with("upgrade --install shop ./chart --kubeconfig "), "{record}");
    assert!(record.ends_with("--set-string image.tag=1.2.3 --atomic --timeout 10m\n"), "{record}");
    assert!(run.log().contains("a: '$(id)'"), "{}", run.log());
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let with = format!("{{release: shop, namespace: shop, image_digest: '{digest}'}}");
    world.stage("deploy-helm", &with, &["--credential", "kubeconfig=access"]).passed();
    let record = world.read("record");
    let end = format!("--set-string image.digest={digest} --atomic --timeout 10m\n");
    assert!(record.ends_with(&end), "{record}");
}

#[test]
fn notify_webhook_posts_the_result() {
    if missing("notify-webhook", &["python3"]) {
        return;
    }
    let world = World::new();
    let server = world.server();
    world.write("url", &format!("{}/hook/abcd\n", server.address()));
    let with = "{notify_text: 'a \"b\" $(id)'}";
    let run = world.stage("notify-webhook", with, &["--credential", "notify-webhook=url"]);
    run.passed();
    let request = server.request();
    assert!(request.starts_with("POST /hook/abcd "), "{request}");
    assert!(request.contains(r#"{"text": "only: success (a \"b\" $(id))"}"#), "{request}");
    assert!(!run.log().contains("/hook/abcd"), "the address is a secret: {}", run.log());
}

#[test]
fn stages_with_effects_are_rehearsed() {
    let world = World::new();
    world.project(&[
        ("chart/Chart.yaml", "name: shop\nversion: 1.0.0\n"),
        ("k8s/a.yaml", "kind: ConfigMap\n"),
        ("Dockerfile", "FROM scratch\n"),
    ]);
    for (stage, with, said) in [
        ("deploy-helm", "{release: shop, namespace: shop}", "would install release shop"),
        ("deploy-kubectl", "{manifests: k8s, namespace: shop}", "kind: ConfigMap"),
        ("deploy-rsync", "{deploy_hosts: [a.example.com], deploy_path: /srv/a}", "would copy"),
        ("image-build", "{image: r.example.com/a}", "r.example.com/a:build would be built"),
        ("notify-webhook", "{}", "would say: only: success"),
        ("sonar-scan", "{sonar_url: 'https://s.example.com', sonar_project: a}", "would be sent"),
    ] {
        let run = world.rehearsal(stage, with);
        run.passed();
        assert!(run.log().contains(said), "{stage}: {}", run.log());
    }
}
