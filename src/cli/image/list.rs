//! `mkubelet image list`.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::client::output;
use crate::cli::pulls::human;
use crate::cli::say;
use crate::image::{Store, Stored};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// How they are printed; wide has the digest, and when they came into the store.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Wide,
    Name,
    Json,
    Yaml,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> anyhow::Result<()> {
    say(&text(&store.list()?, arguments.output)?)
}

fn text(images: &[Stored], format: Option<Format>) -> anyhow::Result<String> {
    let whole = || Value::from(images.iter().map(object).collect::<Vec<_>>());
    Ok(match format {
        None => table(images, false),
        Some(Format::Wide) => table(images, true),
        Some(Format::Name) => images.iter().map(|image| format!("{}\n", image.reference)).collect(),
        Some(Format::Json) => output::json(&whole())?,
        Some(Format::Yaml) => output::yaml(&whole()),
    })
}

fn object(image: &Stored) -> Value {
    json!({
        "Name": image.reference,
        "Id": image.id,
        "Digest": image.digest,
        "Size": image.size,
        "Created": image.created.map(time),
        "Imported": time(image.imported),
        "Pinned": image.is_local,
        "Replaced": image.replaced,
    })
}

fn table(images: &[Stored], is_wide: bool) -> String {
    let mut rows = vec![["NAME", "IMAGE ID", "SIZE", "CREATED", "IMPORTED", "DIGEST"].map(str::to_owned)];
    rows.extend(images.iter().map(|image| {
        let replaced = if image.replaced { " (replaced)" } else { "" };
        [
            format!("{}{replaced}", image.reference),
            image.short_id().to_owned(),
            human(image.size),
            image.created.map_or_else(|| "<unknown>".to_owned(), time),
            time(image.imported),
            image.digest.clone(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [name, id, size, created, imported, _] = [0, 1, 2, 3, 4, 5].map(width);
    let line = |row: &[String; 6]| {
        let [a, b, c, d, e, f] = row;
        let line = format!("{a:name$}  {b:id$}  {c:>size$}  {d:created$}");
        let line = if is_wide { format!("{line}  {e:imported$}  {f}") } else { line };
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// A time as Kubernetes writes it.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> [Stored; 2] {
        let image = |reference: &str, size, created| Stored {
            reference: reference.into(),
            id: "sha256:0123456789abcdef".into(),
            size,
            digest: "sha256:fedc".into(),
            created,
            imported: Timestamp::UNIX_EPOCH,
            is_local: true,
            replaced: false,
        };
        [image("nginx:1.14", 5_000_000, Some(Timestamp::UNIX_EPOCH)), image("b", 1, None)]
    }

    #[test]
    fn columns_line_up() {
        assert_eq!(
            text(&images(), None).unwrap(),
            "NAME        IMAGE ID       SIZE  CREATED\n\
             nginx:1.14  0123456789ab  5.0MB  1970-01-01T00:00:00Z\n\
             b           0123456789ab     1B  <unknown>\n"
        );
        assert_eq!(
            text(&images()[1..], Some(Format::Wide)).unwrap(),
            "NAME  IMAGE ID      SIZE  CREATED    IMPORTED              DIGEST\n\
             b     0123456789ab    1B  <unknown>  1970-01-01T00:00:00Z  sha256:fedc\n"
        );
    }

    #[test]
    fn programs_read_names_or_objects() {
        assert_eq!(text(&images(), Some(Format::Name)).unwrap(), "nginx:1.14\nb\n");
        let json: Value = serde_json::from_str(&text(&images(), Some(Format::Json)).unwrap()).unwrap();
        assert_eq!((&json[0]["Name"], &json[0]["Size"]), (&json!("nginx:1.14"), &json!(5_000_000)));
        assert_eq!((&json[1]["Created"], &json[1]["Pinned"]), (&Value::Null, &json!(true)));
        assert!(text(&images(), Some(Format::Yaml)).unwrap().starts_with("- Created: "));
        assert_eq!(text(&[], Some(Format::Json)).unwrap(), "[]\n");
    }
}
