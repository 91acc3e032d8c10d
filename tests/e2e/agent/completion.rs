//! What a shell offers at the tab key, asked of the real shells.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::world::{World, world};

/// In bash, what would be on the screen after this line and two tabs; the last word may be empty.
const BASH: &str = r#"
source <(mkubelet completion bash)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
_clap_complete_mkubelet mkubelet "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
echo "${COMPREPLY[@]}"
"#;

const FISH: &str = "mkubelet completion fish | source; complete -C (string join ' ' -- $argv)";

/// A shell in whose PATH is mkubelet, with this world's agent.
fn shell(world: &World, name: &str, script: &str, words: &[&str]) -> String {
    let mkubelet = Path::new(env!("CARGO_BIN_EXE_mkubelet")).parent().unwrap();
    let mut command = Command::new(name);
    command.arg("-c").arg(script).args(if name == "bash" { &["bash"][..] } else { &[] }).args(words);
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", mkubelet.display()));
    command.env("HOME", world.path("")).env("MKUBELET_RUN_DIR", world.run_dir());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // fish tells what each is, behind a tab.
    let names = said.lines().map(|line| line.split('\t').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(" ")
}

fn has(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        drop(writeln!(std::io::stderr(), "SKIPPED completion of {shell}: it is not installed"));
    }
    found
}

#[test]
fn a_shell_offers_what_the_agent_knows() {
    world(|world| {
        for name in ["web", "worker"] {
            world.manifests().put(&world.pod(name, [world.container(name, &["term=0", "wait"])]));
        }
        let agent = world.agent();
        agent.expect_running("web", "web", 0);
        agent.expect_running("worker", "worker", 0);
        let all: Vec<&str> = ["bash", "fish"].into_iter().filter(|name| has(name)).collect();
        assert!(all.contains(&"bash"));
        for name in all {
            let script = if name == "bash" { BASH } else { FISH };
            for (line, expected) in [
                ("mkubelet desc", "describe"),
                ("mkubelet get conf", "configmaps"),
                ("mkubelet get pods w", "web worker"),
                ("mkubelet get pods web ", "worker"),
                ("mkubelet get pods ", "web worker"),
                ("mkubelet delete pod/we", "pod/web"),
                ("mkubelet logs wo", "worker"),
                ("mkubelet exec web -c ", "web"),
                ("mkubelet get pods -n kube-s", "kube-system"),
                ("mkubelet get pods --show-k", "--show-kind"),
            ] {
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(shell(world, name, script, &words), expected, "{name}: {line}");
            }
        }
        agent.clear(world);
    });
}

#[test]
fn without_an_agent_a_shell_offers_the_commands() {
    world(|world| {
        assert_eq!(shell(world, "bash", BASH, &["mkubelet", "desc"]), "describe");
        assert_eq!(shell(world, "bash", BASH, &["mkubelet", "get", "pods", "w"]), "");
    });
}
