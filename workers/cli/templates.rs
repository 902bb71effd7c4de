//! `hosho templates`

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use serde::Serialize;

use super::{Error, exit_code, output, print, print_table, print_text, printable_lines, text::table};
use crate::{
    app,
    config::Config,
    documents::{
        catalog::Family,
        check::{self, Preview},
    },
    operations::counted,
};

/// Minimum similarity (Jaro-Winkler, 0 to 1) of a suggested name.
const SIMILAR: f64 = 0.7;

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
        /// File, pages and warnings as JSON
        #[arg(long, requires = "out")]
        json: bool,
    },
}

impl Args {
    pub(super) fn overrides(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        if !folder.is_dir() {
            return Err(Error::invalid(format!("there is no folder {}", folder.display())));
        }
        Ok(vec![("templates.folder", folder.display().to_string())])
    }
}

pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    match &args.command {
        Sub::Check { json } => check(config, *json),
        Sub::List { json } => list(*json),
        Sub::Preview { name, out, sample, json } => {
            preview(config, name, out.as_deref(), sample.as_deref(), *json)
        }
    }
}

fn check(config: &Config, json: bool) -> Result<ExitCode, Error> {
    let results = check::check_all(&app::renderer(config)?);
    let failed = results.iter().filter(|result| result.problem.is_some()).count();
    output(json, &results, |results| {
        let mut table = table(["template", "sample", "pages", "result"]);
        for result in results {
            let pages = result.pages.map_or_else(String::new, |pages| pages.to_string());
            let notes = result.warnings.iter().map(|warning| format!("note: {warning}"));
            let text = result.problem.iter().cloned().chain(notes).collect::<Vec<_>>().join("\n");
            let text = if text.is_empty() { "ok".to_owned() } else { printable_lines(&text) };
            table.add_row([result.template, result.sample, &pages, &text]);
        }
        print_table(table);
        print(format!("\n{} rendered, {failed} failed", results.len()));
    })?;
    Ok(exit_code(failed > 0))
}

#[derive(Serialize)]
struct Listed {
    template: &'static str,
    becomes: &'static str,
    samples: Vec<&'static str>,
}

fn list(json: bool) -> Result<ExitCode, Error> {
    let listed = |(family, template): (Family, _)| Listed {
        template,
        becomes: if family.is_document { "PDF" } else { "text" },
        samples: family.samples(template),
    };
    let listed: Vec<Listed> = check::templates().map(listed).collect();
    output(json, &listed, |listed| {
        let mut table = table(["template", "becomes", "samples"]);
        for Listed { template, becomes, samples } in listed {
            table.add_row([template, becomes, samples.join(", ").as_str()]);
        }
        print_table(table);
    })
}

fn preview(
    config: &Config,
    name: &str,
    out: Option<&Path>,
    sample: Option<&str>,
    json: bool,
) -> Result<ExitCode, Error> {
    let (family, template) = template(name)?;
    let samples = family.samples(template);
    let sample = match sample {
        None => samples.first().copied().unwrap_or_default(),
        Some(sample) => known("sample", sample, samples.iter().copied())?,
    };
    let out = match out {
        Some(out) => Some(out).filter(|out| *out != Path::new("-")),
        None if family.is_document => {
            return Err(Error::invalid(format!("{template} becomes a PDF file"))
                .hint("give --out x.pdf, or --out - for a pipe"));
        }
        None => None,
    };
    let preview = check::preview(&app::renderer(config)?, family, template, sample)
        .ok_or_else(|| Error::not_found(format!("{template} has no sample {sample}")))?;
    let Preview { mut bytes, pages, warnings } =
        preview.map_err(|problem| Error::conflict(format!("{template} with sample {sample}: {problem}")))?;
    let Some(out) = out else {
        if !family.is_document && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        let written = std::io::stdout().lock().write_all(&bytes);
        return match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::unavailable(error)),
            _ => Ok(ExitCode::SUCCESS),
        };
    };
    let file = out.display().to_string();
    std::fs::write(out, &bytes)
        .map_err(|error| Error::unavailable(error).context(format!("cannot write {file}")))?;
    let written = serde_json::json!({ "file": file, "pages": pages, "sample": sample, "warnings": warnings });
    output(json, &written, |_| {
        let pages = pages.map_or_else(|| "text".to_owned(), |pages| counted(pages, "page"));
        print_text(format!("{file}: {pages}, sample \"{sample}\""));
        warnings.iter().map(|warning| format!("note: {warning}")).for_each(print_text);
    })
}

/// Finds a template by its name or the path of its file.
fn template(typed: &str) -> Result<(Family, &'static str), Error> {
    let name = typed.strip_suffix(".hbs").unwrap_or(typed);
    let name = name.strip_prefix("./").unwrap_or(name);
    let name = name.strip_prefix("templates/").unwrap_or(name);
    let name = known("template", name, check::templates().map(|(_, template)| template))?;
    let is_meant = |(_, template): &(Family, &str)| *template == name;
    check::templates().find(is_meant).ok_or_else(|| Error::not_found(format!("there is no template {name}")))
}

/// Finds a name; an error suggests the most similar one and lists all.
fn known(kind: &str, typed: &str, names: impl Iterator<Item = &'static str>) -> Result<&'static str, Error> {
    let names: Vec<_> = names.collect();
    if let Some(name) = names.iter().find(|name| **name == typed) {
        return Ok(name);
    }
    let similarities = names.iter().map(|name| (strsim::jaro_winkler(typed, name), name));
    let like = similarities
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let suggestion = like.map(|(_, name)| format!("use \"{name}\", or ")).unwrap_or_default();
    Err(Error::not_found(format!("there is no {kind} {}", printable_lines(typed)))
        .hint(format!("{suggestion}choose one of {}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_templates_by_name_and_file() {
        for typed in [
            "notice/notice",
            "notice/notice.hbs",
            "templates/notice/notice.hbs",
            "./templates/notice/notice.hbs",
        ] {
            assert_eq!(template(typed).ok().map(|(_, template)| template), Some("notice/notice"), "{typed}");
        }
        let failure = template("notice/notise").err().unwrap().to_string();
        assert!(
            failure.contains("use \"notice/notice\", or") && failure.contains("mail/issued/subject"),
            "{failure}"
        );
        let failure = template("partials/certificate_head").err().unwrap().to_string();
        assert!(failure.contains("there is no template partials/certificate_head"), "{failure}");
    }

    #[test]
    fn finds_samples_by_name() {
        let (family, template) = template("certificate/performance").ok().unwrap();
        let samples = family.samples(template);
        let last = *samples.last().unwrap();
        assert_eq!(known("sample", last, samples.iter().copied()).ok(), Some(last));
        let mistyped = &last[..last.len() - 1];
        let failure = known("sample", mistyped, samples.into_iter()).err().unwrap().to_string();
        assert!(failure.contains("use \"") && failure.contains(last), "{failure}");
    }

    #[test]
    fn overwrites_an_earlier_preview() {
        let config = Config::load(None, &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pdf");
        std::fs::write(&file, "an earlier preview").unwrap();
        assert!(preview(&config, "notice/notice", Some(&file), None, false).is_ok());
        let first = std::fs::read(&file).unwrap();
        let (family, template) = template("notice/notice").unwrap();
        let samples = family.samples(template);
        assert!(first.starts_with(b"%PDF-"));
        assert!(preview(&config, "notice/notice", Some(&file), Some(samples[1]), true).is_ok());
        assert_ne!(std::fs::read(&file).unwrap(), first);
        let text = folder.path().join("x.txt");
        assert!(preview(&config, "mail/issued/body.txt", Some(&text), None, false).is_ok());
        assert!(std::fs::read_to_string(&text).unwrap().contains("電子保証"));
        let problem = |name, out: Option<&Path>, sample| {
            preview(&config, name, out, sample, false)
                .err()
                .map(|failure| failure.to_string())
                .unwrap_or_default()
        };
        assert!(problem("notice/notice", None, None).contains("--out x.pdf"));
        assert!(
            problem("notice/notice", Some(&file), Some("unknown"))
                .contains(&format!("choose one of {}", samples[0]))
        );
        assert!(
            problem("notice/notice", Some(&folder.path().join("none/x.pdf")), None).contains("cannot write")
        );
    }

    #[test]
    fn rejects_a_missing_folder() {
        let args =
            |folder: &Path| Args { command: Sub::List { json: false }, folder: Some(folder.to_owned()) };
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            args(folder.path()).overrides().unwrap(),
            [("templates.folder", folder.path().display().to_string())]
        );
        assert!(args(&folder.path().join("none")).overrides().is_err());
    }
}
