//! A virtual environment with pinned packages, under the target directory.

use crate::shell::{Outcome, capture, read, root, target, write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How packages are installed.
const PIP: [&str; 7] = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "2"];

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
        capture(Command::new(&python).args(PIP).arg("-r").arg(&path))?;
        write(&stamp, &wanted)?;
    }
    Ok(python)
}

/// Installs the packages of a requirements file one by one, those of these names if any are given: what this machine
/// cannot have, the others do without.
pub(crate) fn each(python: &Path, file: &str, names: &[String]) -> Outcome {
    for wanted in lines(&read(&root().join(file))?) {
        let (name, version) = wanted.split_once("==").unwrap_or((wanted, ""));
        if !names.is_empty() && !names.iter().any(|n| n == name) {
            continue;
        }
        let found = "import importlib.metadata as m, sys; sys.exit(m.version(sys.argv[1]) != sys.argv[2])";
        if capture(Command::new(python).args(["-c", found, name, version])).is_ok() {
            continue;
        }
        println!("installing {wanted}");
        // NumPy stays the oracle's, whatever a package would like better.
        let mut pip = Command::new(python);
        pip.args(PIP).arg("-c").arg(root().join("tests/oracle/requirements.txt")).arg(wanted);
        if let Err(why) = capture(&mut pip) {
            println!("not installed: {wanted}: {why}");
        }
    }
    Ok(())
}

/// The requirements of a file, without its comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}

fn works(python: &Path) -> bool {
    python.exists() && capture(Command::new(python).args(["-c", "import pip"])).is_ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn requirements_without_comments() {
        let text = "# peers\na==1\n\nb==2  # why\n";
        assert_eq!(super::lines(text).collect::<Vec<_>>(), ["a==1", "b==2"]);
    }
}
