//! Programs of Go that the tests need: built from pinned modules once, and kept by what they are made from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::context::{Context, Done, output, run};
use crate::tools;

/// A program of a module of this repository.
pub struct Program {
    /// Its name, and that of its directory below `target/tools`.
    pub name: &'static str,
    /// Where its `go.mod` is.
    module: &'static str,
    /// The package to build, as seen from there.
    pub package: &'static str,
    /// Build tags, with commas between them.
    tags: &'static str,
    /// It has parts in C.
    cgo: bool,
    /// Settings of variables in packages.
    variables: &'static [(&'static str, &'static str)],
    /// What must be different in a module that it is made of.
    patch: Option<Patch>,
}

/// A change of words in a file of a module, where no version of the module fits the others.
struct Patch {
    module: &'static str,
    file: &'static str,
    /// What stands there.
    old: &'static str,
    /// What stands there then.
    new: &'static str,
}

/// etcd, kubectl, all parts of Kubernetes, and kwok.
pub const HYPER: Program = Program {
    name: "hyper",
    module: "integration/kubernetes/hyper",
    package: ".",
    tags: "",
    cgo: false,
    // The parts tell their version, and kubectl's is not newer than the API server's.
    variables: &[
        ("k8s.io/component-base/version.gitVersion", "v1.34.4"),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "34"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
    ],
    // kwok of Kubernetes 1.33 names an annotation that 1.34 no longer has, in a way to list objects
    // that it does not use; its next version is one of 1.36.
    patch: Some(Patch {
        module: "sigs.k8s.io/kwok",
        file: "pkg/utils/informer/informer.go",
        old: "metav1.InitialEventsListBlueprintAnnotationKey",
        new: "metav1.InitialEventsAnnotationKey",
    }),
};

/// Helm, for a stage of the shipped catalog; it shares most of its packages with [`HYPER`].
pub const HELM: Program = Program {
    name: "helm",
    module: "integration/kubernetes/hyper",
    package: "helm.sh/helm/v3/cmd/helm",
    tags: "",
    cgo: false,
    variables: &[("helm.sh/helm/v3/internal/version.version", "v3.19.0")],
    patch: None,
};

/// kaniko, which is too large to be built in CI.
pub const KANIKO: Program = Program {
    name: "kaniko",
    module: "integration/kubernetes/kaniko",
    package: "github.com/chainguard-dev/kaniko/cmd/executor",
    tags: "",
    cgo: false,
    variables: &[("github.com/chainguard-dev/kaniko/pkg/version.version", "v1.25.0")],
    patch: None,
};

/// A server of S3 that checks signatures, and fails when told to. It is built in seconds.
pub const S3: Program = Program {
    name: "s3-server",
    module: "integration/s3-server",
    package: ".",
    tags: "",
    cgo: false,
    variables: &[],
    patch: None,
};

/// Gitea, without the pages that a browser runs. Its SQLite is in C.
pub const GITEA: Program = Program {
    name: "gitea",
    module: "integration/counterparts/gitea",
    package: "code.gitea.io/gitea",
    tags: "sqlite,sqlite_unlock_notify",
    cgo: true,
    variables: &[("main.Version", "1.25.4")],
    patch: None,
};

/// A service of S3 whose objects are files.
pub const VERSITYGW: Program = Program {
    name: "versitygw",
    module: "integration/counterparts/versitygw",
    package: "github.com/versity/versitygw/cmd/versitygw",
    tags: "",
    cgo: false,
    variables: &[],
    patch: None,
};

/// Nothing of these runs for its speed. Without inlining and debugging information a build takes
/// about three quarters of the time.
const COMPILER: &str = "all=-l -dwarf=false";

/// Builds a program, unless it is there, and returns where it is.
pub fn build(context: &Context, program: &Program) -> Done<PathBuf> {
    if !tools::is_there("go") {
        return Err(format!(
            "go is missing; {} is built with it. Install Go 1.24 or later: https://go.dev/dl",
            program.name
        ));
    }
    let module = context.root.join(program.module);
    let tools = context.target.join("tools");
    fs::create_dir_all(&tools).map_err(|error| format!("{}: {error}", tools.display()))?;
    // CI builds in the background, before anybody needs it.
    let lock = File::create(tools.join(format!("{}.lock", program.name)));
    let lock = lock.map_err(|error| format!("{}: {error}", tools.display()))?;
    if lock.try_lock().is_err() {
        println!("waiting for {}, which is being built", program.name);
        lock.lock().map_err(|error| format!("lock of {}: {error}", program.name))?;
    }
    let linker = linker_flags(program);
    let dir = tools.join(format!("{}-{}", program.name, key(program, &module, &linker)?));
    let built = dir.join(program.name);
    if built.exists() {
        return Ok(built);
    }
    println!("building {}: some minutes the first time", program.name);
    let unfinished = dir.join("unfinished");
    let mut go = context.command("go");
    go.current_dir(&module).env("CGO_ENABLED", if program.cgo { "1" } else { "0" });
    go.args(["build", "-buildvcs=false", "-tags", program.tags]);
    go.arg(format!("-gcflags={COMPILER}")).args(["-ldflags", &linker, "-o"]).arg(&unfinished);
    let sources = dir.join("sources");
    if let Some(patch) = &program.patch {
        go.arg("-modfile").arg(patched(&module, patch, &sources)?);
    }
    run(go.arg(program.package))?;
    if program.patch.is_some() {
        fs::remove_dir_all(&sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    }
    fs::rename(&unfinished, &built).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(built)
}

/// Where the files of a module are that a program of this repository is made of.
pub fn sources(context: &Context, program: &Program, module: &str) -> Done<PathBuf> {
    let arguments = ["list", "-m", "-f", "{{.Dir}}", module];
    let directory = context.root.join(program.module);
    let found = output(Command::new("go").current_dir(directory).args(arguments))?;
    Ok(PathBuf::from(found.trim()))
}

/// Copies a module with its change; the `go.mod` that builds with the copy.
fn patched(module: &Path, patch: &Patch, sources: &Path) -> Done<PathBuf> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let go = |arguments: &[&str]| output(Command::new("go").current_dir(module).args(arguments));
    go(&["mod", "download", patch.module])?;
    let original = go(&["list", "-m", "-f", "{{.Dir}}", patch.module])?;
    let original = Path::new(original.trim());
    let copy = sources.join("module");
    if sources.exists() {
        fs::remove_dir_all(sources).map_err(|error| failed(sources, error))?;
    }
    copy_tree(original, &copy).map_err(|error| failed(original, error))?;
    let file = copy.join(patch.file);
    let text = fs::read_to_string(&file).map_err(|error| failed(&file, error))?;
    if !text.contains(patch.old) {
        return Err(format!("{} of {} has no {}", patch.file, patch.module, patch.old));
    }
    fs::write(&file, text.replace(patch.old, patch.new)).map_err(|error| failed(&file, error))?;
    for name in ["go.mod", "go.sum"] {
        let path = module.join(name);
        let mut text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        if name == "go.mod" {
            text.push_str(&format!("\nreplace {} => {}\n", patch.module, copy.display()));
        }
        let path = sources.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok(sources.join("go.mod"))
}

/// Copies a directory whose files nobody may write, so that they can be written.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        let target = to.join(path.file_name().unwrap_or_default());
        if entry?.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::write(&target, fs::read(&path)?)?;
        }
    }
    Ok(())
}

fn linker_flags(program: &Program) -> String {
    let variables = program.variables.iter().map(|(name, value)| format!(" -X {name}={value}"));
    std::iter::once("-s -w".to_owned()).chain(variables).collect()
}

/// Everything that the program is made from, in 16 digits.
fn key(program: &Program, module: &Path, linker: &str) -> Done<String> {
    let mut digest = Sha256::new();
    for name in ["go.mod", "go.sum", "main.go", "tools.go"] {
        // A module that only names what to build has one of the last two or none.
        if let Ok(bytes) = fs::read(module.join(name)) {
            digest.update(&bytes);
        }
    }
    let version = output(Command::new("go").arg("version").current_dir(module))?;
    for text in [program.package, COMPILER, linker, &version, program.tags] {
        digest.update(text.as_bytes());
    }
    if let Some(Patch { module, file, old, new }) = &program.patch {
        [module, file, old, new].iter().for_each(|text| digest.update(text.as_bytes()));
    }
    Ok(digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
