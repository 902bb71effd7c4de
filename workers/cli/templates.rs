//! `hosho templates`

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

use super::{
    Error, exit_code, output, print, print_beside, print_table, print_text, printable_lines,
    text::{counted, table},
};
use crate::{
    config::Config,
    documents::check::TemplateCheck,
    operations::{
        configuration::Overrides,
        templates::{self, Listed, Sample, Written},
    },
};

/// Check, list and preview the templates of notices, certificates and mails
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hosho templates list
  hosho templates check --folder templates
  hosho templates preview notice/notice --out notice.pdf --folder templates
  hosho templates preview certificate/performance --out - | pdftotext - -
  hosho templates preview mail/issued/body.txt
  HOSHO__TEMPLATES__FOLDER=./templates hosho templates check --json

--folder (like templates.folder and HOSHO__TEMPLATES__FOLDER) replaces the
built-in templates. templates/README.md documents the elements of a document.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Sub,
    /// Folder of templates that replace the built-in ones
    #[arg(long, global = true, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Render every template with every sample; exit code 1 when one fails
    Check {
        /// The results as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the templates and their samples
    List {
        /// The list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Draw a template with a sample; a mail as text
    Preview {
        /// Name of the template, such as notice/notice
        name: String,
        /// File to write or overwrite; - for standard output, the default for text
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Name of the sample; the first when left out
        #[arg(long)]
        sample: Option<String>,
        /// File, pages and warnings as JSON; requires --out FILE
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Overrides, Error> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        if !folder.is_dir() {
            return Err(Error::invalid(format!("there is no folder {}", folder.display())));
        }
        Ok(vec![("templates.folder", Some(folder.display().to_string()))])
    }
}

pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    match &args.command {
        Sub::Check { json } => {
            let checks = templates::check(config)?;
            let failed = checks.iter().filter(|check| check.problem.is_some()).count();
            output(*json, &checks, |checks| print_checks(checks, failed))?;
            Ok(exit_code(failed > 0))
        }
        Sub::List { json } => output(*json, &templates::list(), |listed| print_list(listed)),
        Sub::Preview { name, out, sample, json } => {
            preview(config, name, out.as_deref(), sample.as_deref(), *json)
        }
    }
}

fn print_checks(checks: &[TemplateCheck], failed: usize) {
    for checks in checks.chunk_by(|one, next| one.template == next.template) {
        checks.first().into_iter().for_each(|check| print(check.template));
        for TemplateCheck { sample, problem, pages, warnings, .. } in checks {
            let verdict = match problem {
                Some(_) => "failed",
                None if warnings.is_empty() => "ok",
                None => "note",
            };
            let pages = pages.map_or_else(String::new, |pages| format!(", {}", counted(pages, "page")));
            let lines: Vec<_> =
                [format!("{sample}{pages}")].iter().chain(problem).chain(warnings).cloned().collect();
            print_beside(&format!("  {verdict:<6}  "), printable_lines(&lines.join("\n")));
        }
    }
    print(format!("\n{} rendered, {failed} failed", checks.len()));
}

fn print_list(listed: &[Listed]) {
    let mut table = table(["template", "becomes", "samples"]);
    for Listed { template, becomes, samples } in listed {
        table.add_row([template, becomes, samples.join(", ").as_str()]);
    }
    print_table(table);
}

fn preview(
    config: &Config,
    name: &str,
    out: Option<&Path>,
    sample: Option<&str>,
    json: bool,
) -> Result<ExitCode, Error> {
    let sample = Sample::find(name, sample)?;
    if let Some(file) = out.filter(|out| *out != Path::new("-")) {
        return output(json, &sample.write(config, file)?, print_written);
    }
    if json {
        return Err(Error::invalid("with --json the preview needs a file: standard output is the report")
            .hint("give --out x.pdf, or omit --json"));
    }
    if out.is_none() && sample.is_document() {
        return Err(Error::invalid(format!("{} becomes a PDF file", sample.template))
            .hint("give --out x.pdf, or --out - for a pipe"));
    }
    let mut bytes = sample.preview(config)?.bytes;
    if !sample.is_document() && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    match std::io::stdout().lock().write_all(&bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::unavailable(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn print_written(Written { file, pages, sample, warnings }: &Written) {
    let pages = pages.map_or_else(|| "text".to_owned(), |pages| counted(pages, "page"));
    print_text(format!("{file}: {pages}, sample \"{sample}\""));
    warnings.iter().map(|warning| format!("note: {warning}")).for_each(print_text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_previews_without_a_file() {
        let config = Config::load(None, &[]).unwrap();
        let problem = |name, out: Option<&str>, json| {
            let error = preview(&config, name, out.map(Path::new), None, json).unwrap_err();
            (error.exit_code(), error.to_string())
        };
        for (name, out, json, expected) in [
            ("notice/notice", None, false, "--out x.pdf"),
            ("notice/notice", None, true, "needs a file"),
            ("notice/notice", Some("-"), true, "needs a file"),
            ("mail/issued/body.txt", None, true, "needs a file"),
        ] {
            let (code, text) = problem(name, out, json);
            assert!(code == ExitCode::from(2) && text.contains(expected), "{name}: {text}");
        }
        let (code, text) = problem("nope", None, true);
        assert!(code == ExitCode::from(1) && text.contains("there is no template nope"), "{text}");
    }

    #[test]
    fn rejects_a_missing_folder() {
        let args =
            |folder: &Path| Args { command: Sub::List { json: false }, folder: Some(folder.to_owned()) };
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            args(folder.path()).overrides().unwrap(),
            [("templates.folder", Some(folder.path().display().to_string()))]
        );
        assert!(args(&folder.path().join("none")).overrides().is_err());
    }
}
