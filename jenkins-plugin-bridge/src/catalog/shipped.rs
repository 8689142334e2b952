//! The catalog that comes with the program.

use super::source::Files;

macro_rules! shipped {
    ($($path:literal,)*) => {
        const SHIPPED: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../catalog/", $path))),)*];
    };
}

shipped! {
    "bindings.yaml",
    "catalog.yaml",
    "examples/go-service-pull-request.yaml",
    "examples/gradle-service.yaml",
    "examples/library-docs-only.yaml",
    "examples/library-matrix.yaml",
    "examples/maven-image.yaml",
    "examples/node-frontend.yaml",
    "examples/php-service.yaml",
    "examples/python-service.yaml",
    "examples/rust-service.yaml",
    "examples/site.yaml",
    "pipelines/library.yaml",
    "pipelines/static-site.yaml",
    "pipelines/web-service.yaml",
    "stages/api-test.yaml",
    "stages/checkout.yaml",
    "stages/deploy-helm.yaml",
    "stages/deploy-kubectl.yaml",
    "stages/deploy-rsync.yaml",
    "stages/frontend-build.yaml",
    "stages/image-build.yaml",
    "stages/notify-webhook.yaml",
    "stages/sonar-scan.yaml",
    "stages/unit-test-go.yaml",
    "stages/unit-test-gradle.yaml",
    "stages/unit-test-maven.yaml",
    "stages/unit-test-node.yaml",
    "stages/unit-test-php.yaml",
    "stages/unit-test-python.yaml",
    "stages/unit-test-rust.yaml",
}

/// Its files.
#[must_use]
pub fn files() -> Files {
    Files(SHIPPED.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_directory_is_shipped() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
        let there = Files::of_directory(&directory).unwrap();
        let shipped = files();
        let names = |files: &Files| files.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&shipped), names(&there), "list it in src/catalog/shipped.rs");
        assert!(shipped == there);
    }
}
