//! `ipsec-lab completions` and `ipsec-lab man`: files for shells and for man(1), from the description of the arguments.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap_complete::Shell;
use clap_mangen::Man;

use crate::output;

/// Name of the program.
const NAME: &str = "ipsec-lab";

/// Print the completions of a shell.
///
/// Example: `ipsec-lab completions bash > /etc/bash_completion.d/ipsec-lab`
#[derive(clap::Args)]
pub struct CompletionsArgs {
    /// Shell for which completions are printed.
    shell: Shell,
}

/// Print the manual page of the program or of a command, or write all pages to a directory.
///
/// Examples: `ipsec-lab man | man -l -`, `ipsec-lab man open | man -l -`, `ipsec-lab man --out /usr/local/share/man/man1`
#[derive(clap::Args)]
pub struct ManArgs {
    /// Command whose page is printed.
    #[arg(value_name = "COMMAND")]
    subcommand: Option<String>,
    /// Directory to which all pages are written.
    #[arg(long, value_name = "DIR", conflicts_with = "subcommand")]
    out: Option<PathBuf>,
}

/// Runs the command `completions`.
pub fn completions(args: &CompletionsArgs, mut command: clap::Command) -> Result<ExitCode, Box<dyn Error>> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, NAME, &mut text);
    output::write_unchanged(&String::from_utf8(text)?);
    Ok(ExitCode::SUCCESS)
}

/// Runs the command `man`.
pub fn man(args: &ManArgs, command: clap::Command) -> Result<ExitCode, Box<dyn Error>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let pages = pages(&command)?;
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for (name, page) in &pages {
            let path = folder.join(format!("{name}.1"));
            fs::write(&path, page).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = args.subcommand.as_ref().map_or_else(|| NAME.to_owned(), |name| format!("{NAME}-{name}"));
    let page = pages.into_iter().find(|(name, _)| *name == wanted).map(|(_, page)| page);
    output::write_unchanged(
        &page.ok_or_else(|| format!("unknown command {:?}", args.subcommand.as_deref().unwrap_or("")))?,
    );
    Ok(ExitCode::SUCCESS)
}

/// Returns the pages of the program and of its commands with their names.
fn pages(command: &clap::Command) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let render = |command: clap::Command, name: &str| -> Result<(String, String), Box<dyn Error>> {
        let mut page = Vec::new();
        // Names of pages have no spaces.
        let command = command.name(name.to_owned()).display_name(name.to_owned());
        Man::new(command).title(name.to_uppercase()).render(&mut page)?;
        Ok((name.to_owned(), String::from_utf8(page)?))
    };
    let mut pages = vec![render(command.clone(), NAME)?];
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        pages.push(render(subcommand.clone(), &format!("{NAME}-{}", subcommand.get_name()))?);
    }
    Ok(pages)
}
