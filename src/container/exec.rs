//! The last step: from a list of words to a running program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::execve;

use super::failure::{Failure, Step};

/// Executes `args[0]` with exactly this environment; returns only when that fails. A word without a slash is looked up in
/// the environment's PATH, as execvpe(3) does.
pub fn execute(args: &[String], env: &[String]) -> Result<Infallible, Failure> {
    let Some(program) = args.first().filter(|program| !program.is_empty()) else {
        return Err(Failure::new("execve", "no command: neither the pod nor the image names one"));
    };
    let argv = c_strings(args, "an argument")?;
    let envp = c_strings(env, "an environment variable")?;

    let mut denied = None;
    for candidate in candidates(program, env) {
        let path = CString::new(candidate.as_os_str().as_bytes()).step(|| "execve")?;
        match execve(&path, &argv, &envp) {
            Ok(never) => match never {},
            Err(Errno::ENOENT | Errno::ENOTDIR) if !program.contains('/') => {}
            Err(Errno::EACCES) if !program.contains('/') => denied = Some(candidate),
            Err(errno) => return Err(explain(&candidate, errno)),
        }
    }
    Err(match denied {
        Some(path) => explain(&path, Errno::EACCES),
        None => Failure {
            errno: Some(Errno::ENOENT as i32),
            ..Failure::new("execve", format!("{program:?}: executable file not found in $PATH"))
        },
    })
}

fn candidates(program: &str, env: &[String]) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![PathBuf::from(program)];
    }
    let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    path.split(':')
        .filter(|directory| !directory.is_empty())
        .map(|directory| Path::new(directory).join(program))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "inside the container by now: its own process asks for its own file"
)]
fn explain(path: &Path, errno: Errno) -> Failure {
    let text = match errno {
        Errno::ENOENT if path.exists() => {
            format!("{path:?}: the interpreter that it names is not in the image")
        }
        Errno::ENOEXEC => format!("{path:?}: not a program for this machine, and no script with a #! line"),
        errno => format!("{path:?}: {}", errno.desc()),
    };
    Failure { errno: Some(errno as i32), ..Failure::new("execve", text) }
}

fn c_strings(words: &[String], what: &str) -> Result<Vec<CString>, Failure> {
    words
        .iter()
        .map(|word| {
            CString::new(OsStr::new(word).as_bytes())
                .map_err(|_| Failure::new("execve", format!("{what} has a NUL byte in it: {word:?}")))
        })
        .collect()
}

impl super::failure::Reason for std::ffi::NulError {
    fn errno(&self) -> Option<i32> {
        None
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], env: &[&str], expected: &str) {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let Err(failure) = execute(&words(args), &words(env));
        assert_eq!(failure.to_string(), expected);
    }

    #[test]
    fn what_cannot_be_executed_is_named_with_the_reason() {
        check(&[], &[], "execve: no command: neither the pod nor the image names one");
        check(&["nope"], &["PATH=/bin:/usr/bin"], "execve: \"nope\": executable file not found in $PATH");
        check(&["nope"], &[], "execve: \"nope\": executable file not found in $PATH");
        check(&["/nope"], &[], "execve: \"/nope\": No such file or directory");
        check(&["/etc/passwd"], &[], "execve: \"/etc/passwd\": Permission denied");
        check(&["passwd"], &["PATH=/nope:/etc"], "execve: \"/etc/passwd\": Permission denied");
    }
}
