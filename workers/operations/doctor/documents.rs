//! The document store.

use std::path::Path;

use super::Finding;
use crate::{app, config::Config, documents::store, fault::chain};

pub(super) async fn check(config: &Config) -> Finding {
    let folder =
        config.documents.url.strip_prefix("file:").map(|path| path.strip_prefix("//").unwrap_or(path));
    if let Some(folder) = folder.filter(|folder| !Path::new(folder).is_dir()) {
        return Finding::failure(
            "documents",
            format!("there is no folder {folder}"),
            "mount it or correct documents.url; the first worker creates it",
        );
    }
    let probed = match app::store_settings(&config.documents) {
        Ok(settings) => store::probe(&settings).await.map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    Finding::of(
        "documents",
        probed.map(|()| format!("{} can be written and read back", config.documents.url)),
        "check the disk and the permissions of documents.url: the render stage waits until it is writable",
    )
}
