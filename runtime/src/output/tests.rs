use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn nothing_appears_before_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&a, "old").unwrap();
    let mut staged = Staged::new();
    staged.bytes(&a, b"new").unwrap();
    staged.bytes(&b, b"other").unwrap();
    assert_eq!(staged.len(), 2);
    assert_eq!(fs::read(&a).unwrap(), b"old");
    assert!(!b.exists());
    staged.commit().unwrap();
    assert_eq!(fs::read(&a).unwrap(), b"new");
    assert_eq!(fs::read(&b).unwrap(), b"other");
    assert_eq!(names(dir.path()), ["a", "b"]);
}

#[test]
fn a_failed_write_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a");
    fs::write(&a, "old").unwrap();
    let mut staged = Staged::new();
    staged.bytes(dir.path().join("b"), b"b").unwrap();
    let e = staged
        .stage(&a, |out| {
            out.write_all(b"half").unwrap();
            Err((None, Problem::Io(io::ErrorKind::StorageFull.into())))
        })
        .unwrap_err();
    assert_eq!(e.path, a);
    drop(staged);
    assert_eq!(fs::read(&a).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a"]);
}

#[test]
fn bad_targets_are_found_before_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut staged = Staged::new();
    assert!(staged.bytes(dir.path(), b"").is_err(), "a directory");
    assert!(staged.bytes(dir.path().join("no/such/place"), b"").is_err());
    staged.bytes(dir.path().join("a"), b"1").unwrap();
    assert!(staged.bytes(dir.path().join(".").join("a"), b"2").is_err(), "the same file twice");
    staged.commit().unwrap();
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"1");
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &link).unwrap();
    let mut staged = Staged::new();
    staged.bytes(&link, b"new").unwrap();
    staged.commit().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&real).unwrap(), b"new");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    let mut staged = Staged::new();
    let fresh = dir.path().join("fresh");
    staged.bytes(&fresh, b"").unwrap();
    staged.commit().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&fresh), mode(&plain));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_an_error_and_the_rest_stays() {
    use std::os::unix::fs::FileTypeExt;
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a");
    fs::write(&a, "old").unwrap();
    let mut staged = Staged::new();
    staged.bytes(&a, b"new").unwrap();
    staged.bytes("/dev/full", b"something").unwrap();
    let e = staged.commit().unwrap_err();
    assert_eq!(e.path, Path::new("/dev/full"));
    assert_eq!(fs::read(&a).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a"]);
    let mut staged = Staged::new();
    staged.bytes("/dev/null", b"something").unwrap();
    staged.commit().unwrap();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}
