//! `callward models`: what weights there are, fetching them, and checking them.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::config::Config;
use crate::weights::{self, Cache, FetchOptions, Fetched, Finding, Manifest, Model, Progress, State, WeightsError};

/// Arguments of `callward models`.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// List the models and how they stand in the cache.
    List {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Bring what is missing; without names, the models that Callward needs by default.
    Fetch {
        /// Names of models, as `list` shows them.
        #[arg(value_name = "MODEL")]
        models: Vec<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Compare every byte in the cache with the manifest; without names, of the default models and those that are there.
    Verify {
        /// Names of models, as `list` shows them.
        #[arg(value_name = "MODEL")]
        models: Vec<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

const WRONG_USE: u8 = 2;
/// How often a progress bar is redrawn.
const TICK: Duration = Duration::from_millis(200);

/// Runs the command; results go to standard output, progress to standard error.
pub fn run(args: ModelsArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::load(config.models.manifest.as_deref())?;
    let cache = Cache::locate(config.models.cache.as_deref());
    match execute(args.command, &manifest, &cache) {
        Err(error) if matches!(error.downcast_ref(), Some(WeightsError::UnknownModel { .. })) => {
            eprintln!("callward: {error}");
            Ok(ExitCode::from(WRONG_USE))
        }
        done => done,
    }
}

fn execute(command: ModelsCommand, manifest: &Manifest, cache: &Cache) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        ModelsCommand::List { json: true } => print_json(&mut out, &list_json(manifest, cache))?,
        ModelsCommand::List { json: false } => out.write_all(list_text(manifest, cache).as_bytes())?,
        ModelsCommand::Fetch { models, json } => {
            let mut screen = Screen::new();
            let done = weights::fetch(manifest, cache, &models, &FetchOptions::default(), &mut |p| screen.show(&p));
            screen.clear();
            let fetched = done?;
            match json {
                true => print_json(&mut out, &fetch_json(cache, &fetched))?,
                false => writeln!(out, "{}", fetch_text(cache, &fetched))?,
            }
        }
        ModelsCommand::Verify { models, json } => {
            let findings = cache.verify(manifest, &models)?;
            match json {
                true => print_json(&mut out, &verify_json(cache, &findings))?,
                false => out.write_all(verify_text(&findings).as_bytes())?,
            }
            if findings.iter().any(|finding| finding.state != State::Ready) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value}")
}

/// A model is as good as its worst file.
fn state(model: &Model, cache: &Cache) -> State {
    let states: Vec<State> = model.files(std::env::consts::ARCH).map(|file| cache.state(model, file)).collect();
    let order = [State::Missing, State::Wrong, State::Unchecked];
    // Without a file for this processor it can never be there.
    let none = if states.is_empty() { State::Missing } else { State::Ready };
    order.into_iter().find(|state| states.contains(state)).unwrap_or(none)
}

fn word(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Unchecked => "unchecked",
        State::Wrong => "wrong",
        State::Missing => "missing",
    }
}

fn list_text(manifest: &Manifest, cache: &Cache) -> String {
    let models = manifest.models();
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let line = |name: &str, state: &str, fetched: &str, size: &str, licence: &str, about: &str| {
        format!("{name:width$}  {state:<9}  {fetched:<7}  {size:>9}  {licence:<7}  {about}\n")
    };
    let rows = models.iter().map(|model| {
        let size = DecimalBytes(model.size(std::env::consts::ARCH)).to_string();
        let fetched = if model.default { "always" } else { "by name" };
        line(&model.name, word(state(model, cache)), fetched, &size, &model.licence, &model.about)
    });
    let heading = line("MODEL", "STATE", "FETCHED", "SIZE", "LICENCE", "WHAT");
    let rows: String = rows.collect();
    format!("Cache: {}\n{heading}{rows}", cache.root().display())
}

fn list_json(manifest: &Manifest, cache: &Cache) -> Value {
    let arch = std::env::consts::ARCH;
    let file = |model: &Model, file: &weights::ModelFile| {
        json!({
            "name": file.name, "path": cache.root().join(&model.name).join(&file.name), "size": file.size,
            "sha256": file.sha256.to_string(), "state": cache.state(model, file),
        })
    };
    let models = manifest.models().iter().map(|model| {
        json!({
            "name": model.name, "about": model.about, "licence": model.licence, "default": model.default,
            "size": model.size(arch), "state": state(model, cache),
            "files": model.files(arch).map(|f| file(model, f)).collect::<Vec<_>>(),
        })
    });
    json!({ "cache": cache.root(), "models": models.collect::<Vec<_>>() })
}

fn fetch_text(cache: &Cache, fetched: &[Fetched]) -> String {
    let brought = fetched.iter().filter(|file| file.brought).count();
    let cache = cache.root().display();
    match brought {
        0 => format!("All {} files were already in {cache}", fetched.len()),
        _ => format!("{brought} of {} files brought, all are in {cache}", fetched.len()),
    }
}

fn fetch_json(cache: &Cache, fetched: &[Fetched]) -> Value {
    let files = fetched.iter().map(|file| json!({ "model": file.model, "path": file.path, "brought": file.brought }));
    json!({ "cache": cache.root(), "files": files.collect::<Vec<_>>() })
}

fn verify_text(findings: &[Finding]) -> String {
    findings.iter().map(|finding| finding_text(finding) + "\n").collect()
}

fn finding_text(finding: &Finding) -> String {
    let (name, path) = (format!("{}/{}", finding.model, finding.file), finding.path.display());
    let remedy = format!("run `callward models fetch {}`", finding.model);
    match (finding.state, finding.got) {
        (State::Ready, _) => format!("ok       {name}"),
        (_, Some(got)) => format!("WRONG    {path}: expected {}, got {got}; {remedy}", finding.expected),
        (_, None) => format!("MISSING  {path}; {remedy}"),
    }
}

fn verify_json(cache: &Cache, findings: &[Finding]) -> Value {
    let files = findings.iter().map(|finding| {
        json!({
            "model": finding.model, "file": finding.file, "path": finding.path, "state": finding.state,
            "expected": finding.expected.to_string(), "got": finding.got.map(|got| got.to_string()),
        })
    });
    let ok = findings.iter().all(|finding| finding.state == State::Ready);
    json!({ "cache": cache.root(), "ok": ok, "files": files.collect::<Vec<_>>() })
}

/// A progress bar on a terminal, a line for each step elsewhere.
struct Screen {
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Screen {
    fn new() -> Screen {
        Screen { bar: None, terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Waiting => self.say("another fetch is running; waiting for it"),
            Progress::Started { what, bytes } => self.start(what, *bytes),
            Progress::Advanced { bytes } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*bytes);
                }
            }
            Progress::Retrying { reason } => self.say(&format!("{reason}; trying again")),
            Progress::Converting { file } => self.say(&format!("converting {file}")),
            Progress::Installed { path, bytes } => {
                let file = Path::new(path.parent().and_then(Path::file_name).unwrap_or_default());
                let file = file.join(path.file_name().unwrap_or_default());
                self.say(&format!("installed {} ({})", file.display(), DecimalBytes(*bytes)));
            }
        }
    }

    fn start(&mut self, what: &str, bytes: u64) {
        self.clear();
        if !self.terminal {
            eprintln!("fetching {what} ({})", DecimalBytes(bytes));
            return;
        }
        let layout = "{msg} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}";
        let style = ProgressStyle::with_template(layout).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style);
        bar.set_message(what.to_string());
        bar.enable_steady_tick(TICK);
        self.bar = Some(bar);
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        format = 1
        [[model]]
        name = "ears"
        about = "Hears"
        licence = "MIT"
        default = true
        [[model.file]]
        name = "a.bin"
        size = 5
        sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        source = [{ url = "http://127.0.0.1:9/a.bin" }]
        [[model]]
        name = "more-ears"
        about = "Hears more"
        licence = "MIT"
        [[model.file]]
        name = "b.bin"
        size = 77704698
        sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        source = [{ url = "http://127.0.0.1:9/b.bin" }]
    "#;

    fn set_up() -> (Manifest, tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        (Manifest::parse(MANIFEST, "test").unwrap(), folder, cache)
    }

    fn put(folder: &Path, content: &str) {
        std::fs::create_dir_all(folder.join("ears")).unwrap();
        std::fs::write(folder.join("ears/a.bin"), content).unwrap();
    }

    #[test]
    fn the_list_is_a_table() {
        let (manifest, folder, cache) = set_up();
        put(folder.path(), "hello");
        cache.verify(&manifest, &[]).unwrap();
        let text = list_text(&manifest, &cache).replace(&folder.path().display().to_string(), "/cache");
        insta::assert_snapshot!(text, @r"
        Cache: /cache
        MODEL      STATE      FETCHED       SIZE  LICENCE  WHAT
        ears       ready      always         5 B  MIT      Hears
        more-ears  missing    by name   77.70 MB  MIT      Hears more
        ");
    }

    #[test]
    fn the_embedded_list_names_every_model() {
        let cache = Cache::at("/nonexistent");
        let text = list_text(&Manifest::embedded().unwrap(), &cache);
        // The one file that differs between processors.
        let text = text.replace("27.17 MB", "34.82 MB");
        insta::assert_snapshot!(text, @r"
        Cache: /nonexistent
        MODEL              STATE      FETCHED       SIZE  LICENCE  WHAT
        moonshine-tiny-en  missing    always    43.94 MB  MIT      Moonshine tiny: recognises English speech, the quick engine (ONNX, int8)
        whisper-tiny.en    missing    always    77.70 MB  MIT      Whisper tiny.en: recognises English speech, the other engine (whisper.cpp, f16)
        whisper-base       missing    by name  147.95 MB  MIT      Whisper base: recognises speech of many languages, slower (whisper.cpp, f16)
        silero-vad         missing    always     2.33 MB  MIT      Silero VAD: tells speech from silence and noise (ONNX)
        onnxruntime        missing    always    34.82 MB  MIT      ONNX Runtime 1.32: the library that runs the ONNX models
        ");
    }

    #[test]
    fn the_list_in_json_tells_each_file() {
        let (manifest, folder, cache) = set_up();
        put(folder.path(), "hullo");
        let list = list_json(&manifest, &cache);
        assert_eq!(list["models"][0]["state"], "unchecked");
        assert_eq!(list["models"][0]["files"][0]["path"], json!(folder.path().join("ears/a.bin")));
        assert_eq!(list["models"][1]["state"], "missing");
        assert_eq!(list["models"][1]["size"], 77_704_698);
    }

    #[test]
    fn verify_tells_right_wrong_and_missing() {
        let (manifest, folder, cache) = set_up();
        let text = |names: &[String]| {
            let text = verify_text(&cache.verify(&manifest, names).unwrap());
            text.replace(&folder.path().display().to_string(), "/cache")
        };
        assert_eq!(text(&[]), "MISSING  /cache/ears/a.bin; run `callward models fetch ears`\n");
        put(folder.path(), "hello");
        assert_eq!(text(&[]), "ok       ears/a.bin\n");
        put(folder.path(), "hullo");
        assert!(text(&[]).starts_with("WRONG    /cache/ears/a.bin: expected 2cf24dba"));
        assert!(text(&["more-ears".into()]).starts_with("MISSING  /cache/more-ears/b.bin"));
        assert_eq!(verify_json(&cache, &cache.verify(&manifest, &[]).unwrap())["ok"], false);
    }
}
