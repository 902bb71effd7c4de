//! Mails as `.eml` files, for the embedded mode.
//!
//! A file appears whole or not at all (temporary file, sync, rename) and is named after the Message-ID, so a
//! mail sent again leaves one file. Attached notices hold authentication keys: files are 0600, and a missing
//! folder is created 0700.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::message::EncodedMail;
use super::{MailerError, Reply, SendError};

pub(super) struct Folder {
    path: PathBuf,
    drafts: AtomicU64,
}

/// The Message-ID, which is safe as a name, and `.eml`.
pub fn file_name(message_id: &str) -> String {
    format!("{message_id}.eml")
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Result<Self, MailerError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| MailerError::Folder { folder: path.clone(), source })?;
        Ok(Self { path, drafts: AtomicU64::new(0) })
    }

    pub(super) async fn write(&self, encoded: EncodedMail) -> Result<Reply, SendError> {
        let name = file_name(&encoded.message_id);
        self.place(Some(name.clone()), encoded.bytes).await?;
        Ok(Reply { code: 250, text: name })
    }

    pub(super) async fn probe(&self) -> Result<(), SendError> {
        self.place(None, Vec::new()).await
    }

    /// Writes a draft and gives it its name; without a name it is thrown away.
    async fn place(&self, name: Option<String>, bytes: Vec<u8>) -> Result<(), SendError> {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let draft = self.path.join(format!(".draft-{}-{number}", std::process::id()));
        let folder = self.path.clone();
        let place = move || {
            // A draft of this name can only be the rest of a dead process with our id.
            let _ = std::fs::remove_file(&draft);
            let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
            let placed = file.write_all(&bytes).and_then(|()| file.sync_all()).and_then(|()| match name {
                Some(name) => std::fs::rename(&draft, folder.join(name))
                    .and_then(|()| std::fs::File::open(&folder)?.sync_all()),
                None => std::fs::remove_file(&draft),
            });
            if placed.is_err() {
                let _ = std::fs::remove_file(&draft);
            }
            placed
        };
        let placed =
            tokio::task::spawn_blocking(place).await.map_err(std::io::Error::other).and_then(|placed| placed);
        placed.map_err(|source| SendError::Folder { folder: self.path.clone(), source })
    }
}
