//! A virtual environment with pinned packages, under the target directory.

use crate::shell::{Outcome, capture, read, root, target, write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of an environment that has the packages of the requirements files (paths from the root). It is made on
/// the first call and kept. An error says why there is none: no Python, no package index, no such version.
pub(crate) fn environment(requirements: &[&str]) -> Outcome<PathBuf> {
    let venv = target().join("venv");
    let python = match cfg!(windows) {
        true => venv.join("Scripts").join("python.exe"),
        false => venv.join("bin").join("python"),
    };
    if !works(&python) {
        let host = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        capture(Command::new(&host).args(["-c", "import sys; assert sys.version_info >= (3, 11), 'too old'"]))
            .map_err(|e| format!("no Python 3.11 or newer ({e})"))?;
        println!("making a Python environment in {}", venv.display());
        capture(Command::new(&host).args(["-m", "venv", "--clear"]).arg(&venv))?;
    }
    for file in requirements {
        let path = root().join(file);
        let wanted = read(&path)?;
        let stamp = venv
            .join(Path::new(file).components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("-"));
        if read(&stamp).is_ok_and(|had| had == wanted) {
            continue;
        }
        println!("installing {file}");
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "2", "-r"];
        capture(Command::new(&python).args(pip).arg(&path))?;
        write(&stamp, &wanted)?;
    }
    Ok(python)
}

fn works(python: &Path) -> bool {
    python.exists() && capture(Command::new(python).args(["-c", "import pip"])).is_ok()
}
