//! `completion`: what shells offer on the tab key, from the table of commands.
#![forbid(unsafe_code)]
use crate::cli::{Command, Flag, Interface, Invocation};
use crate::failure::Failure;
use crate::print;
use std::fmt::Write;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let shell = invocation.positionals.first().and_then(|shell| shell.to_str()).unwrap_or_default();
    let script = match shell {
        "bash" => bash(invocation.interface),
        "zsh" => zsh(invocation.interface),
        "fish" => fish(invocation.interface),
        _ => {
            return Err(Failure::new(format!("no completions for {shell:?}: bash, zsh or fish")));
        }
    };
    print(script.as_bytes())?;
    Ok(0)
}

fn commands(interface: &'static Interface) -> impl Iterator<Item = &'static Command> {
    interface.commands.iter().filter(|command| !command.hidden)
}

fn shown(flags: &'static [Flag]) -> impl Iterator<Item = &'static Flag> {
    flags.iter().filter(|flag| !flag.hidden)
}

/// What the value of a flag can be.
enum Offer {
    Files,
    Directories,
    /// Separated by spaces.
    Choices(String),
    Nothing,
}

fn offer(flag: &Flag) -> Offer {
    match flag.argument {
        Some("DIR") => Offer::Directories,
        Some("FILE" | "PATH") => Offer::Files,
        Some(choices) if choices.contains('|') => Offer::Choices(choices.replace('|', " ")),
        _ => Offer::Nothing,
    }
}

/// Commands whose first argument is the id of a container.
fn takes_id(command: &Command) -> bool {
    command.positionals.usage.starts_with("<container-id>") && !matches!(command.name, "create" | "run" | "restore")
}

fn bash(interface: &'static Interface) -> String {
    let names = commands(interface).map(|command| command.name).collect::<Vec<_>>().join(" ");
    let words =
        |flags: &'static [Flag]| shown(flags).map(|flag| format!("--{}", flag.name)).collect::<Vec<_>>().join(" ");
    let mut script = format!(
        "# bash completion for plimsoll, made by `plimsoll completion bash`\n\
         _plimsoll() {{\n\
         \x20   local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= root=() flags i\n\
         \x20   for ((i = 1; i < COMP_CWORD; i++)); do\n\
         \x20       case ${{COMP_WORDS[i]}} in\n\
         \x20           --root) root=(--root \"${{COMP_WORDS[i+1]}}\"); ((i++)) ;;\n\
         \x20           {}) ((i++)) ;;\n\
         \x20           -*) ;;\n\
         \x20           *) command=${{COMP_WORDS[i]}}; break ;;\n\
         \x20       esac\n\
         \x20   done\n\
         \x20   case $before in\n",
        shown(interface.global_flags)
            .filter(|flag| flag.argument.is_some() && flag.name != "root")
            .map(|flag| format!("--{}", flag.name))
            .collect::<Vec<_>>()
            .join("|"),
    );
    let mut seen = Vec::new();
    for flag in shown(interface.global_flags).chain(commands(interface).flat_map(|command| shown(command.flags))) {
        if flag.argument.is_none() || flag.name == "format" || seen.contains(&flag.name) {
            continue;
        }
        seen.push(flag.name);
        let reply = match offer(flag) {
            Offer::Files => "compgen -f -- \"$word\"".to_owned(),
            Offer::Directories => "compgen -d -- \"$word\"".to_owned(),
            Offer::Choices(choices) => format!("compgen -W '{choices}' -- \"$word\""),
            Offer::Nothing => "true".to_owned(),
        };
        let _ = writeln!(script, "        --{}) mapfile -t COMPREPLY < <({reply}); return ;;", flag.name);
    }
    script.push_str("    esac\n    case $command in\n");
    let _ = writeln!(script, "        '') flags='{names} {} --help --version' ;;", words(interface.global_flags));
    for command in commands(interface) {
        let ids = if takes_id(command) { " $(plimsoll \"${root[@]}\" list --quiet 2>/dev/null)" } else { "" };
        let _ = writeln!(script, "        {}) flags=\"{} --help{ids}\" ;;", command.name, words(command.flags));
    }
    script.push_str(
        "    esac\n    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$word\")\n}\ncomplete -F _plimsoll plimsoll\n",
    );
    script
}

fn zsh(interface: &'static Interface) -> String {
    let mut script = "#compdef plimsoll\n# made by `plimsoll completion zsh`\n_plimsoll_ids() {\n    \
                      compadd -- ${(f)\"$(plimsoll list --quiet 2>/dev/null)\"}\n}\n_plimsoll() {\n    \
                      local -a commands\n    commands=(\n"
        .to_owned();
    for command in commands(interface) {
        let _ = writeln!(script, "        {}", quoted(&format!("{}:{}", command.name, command.summary)));
    }
    script.push_str("    )\n    _arguments -C \\\n");
    zsh_flags(&mut script, interface.global_flags);
    script.push_str("        '1:command:{_describe command commands}' \\\n        '*::argument:->arguments'\n    case $words[1] in\n");
    for command in commands(interface) {
        let _ = writeln!(script, "        {})\n        _arguments \\", command.name);
        zsh_flags(&mut script, command.flags);
        let id = if takes_id(command) { "'1:container:_plimsoll_ids'" } else { "'1: :'" };
        let _ = writeln!(script, "        {id} '*:argument:_files' ;;");
    }
    script.push_str("    esac\n}\n_plimsoll \"$@\"\n");
    script
}

fn zsh_flags(script: &mut String, flags: &'static [Flag]) {
    for flag in shown(flags) {
        let value = match offer(flag) {
            _ if flag.argument.is_none() => String::new(),
            Offer::Files => ":file:_files".to_owned(),
            Offer::Directories => ":directory:_files -/".to_owned(),
            Offer::Choices(choices) => format!(":choice:({choices})"),
            Offer::Nothing => ":value: ".to_owned(),
        };
        let repeat = if flag.repeatable { "*" } else { "" };
        let help = flag.help.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
        for name in flag.short.map(|short| format!("-{short}")).into_iter().chain([format!("--{}", flag.name)]) {
            let _ = writeln!(script, "        {} \\", quoted(&format!("{repeat}{name}[{help}]{value}")));
        }
    }
}

fn fish(interface: &'static Interface) -> String {
    let mut script =
        "# fish completion for plimsoll, made by `plimsoll completion fish`\ncomplete -c plimsoll -f\n".to_owned();
    fish_flags(&mut script, "", interface.global_flags);
    for command in commands(interface) {
        let _ = writeln!(
            script,
            "complete -c plimsoll -n __fish_use_subcommand -a {} -d {}",
            command.name,
            quoted(command.summary)
        );
        let seen = format!(" -n '__fish_seen_subcommand_from {}'", command.name);
        if takes_id(command) {
            let _ = writeln!(script, "complete -c plimsoll{seen} -a '(plimsoll list --quiet 2>/dev/null)'");
        }
        fish_flags(&mut script, &seen, command.flags);
    }
    script
}

fn fish_flags(script: &mut String, condition: &str, flags: &'static [Flag]) {
    for flag in shown(flags) {
        let short = flag.short.map(|short| format!(" -s {short}")).unwrap_or_default();
        let value = match offer(flag) {
            _ if flag.argument.is_none() => String::new(),
            Offer::Files => " -r -F".to_owned(),
            Offer::Directories => " -x -a '(__fish_complete_directories)'".to_owned(),
            Offer::Choices(choices) => format!(" -x -a '{choices}'"),
            Offer::Nothing => " -x".to_owned(),
        };
        let _ =
            writeln!(script, "complete -c plimsoll{condition}{short} -l {}{value} -d {}", flag.name, quoted(flag.help));
    }
}

/// In single quotes, which bash, zsh and fish read alike as long as there is no backslash.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
