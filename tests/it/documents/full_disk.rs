//! A full disk, with space for small files but not for a document.

use std::{fs, io::Write as _, path::Path, process::Command};

use hosho_schema::models::document::Kind;

use super::store::{Place, document};

/// A separate file system, unmounted on drop.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None` if this user may not mount a file system.
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mounted =
            mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

#[tokio::test]
async fn full_disk_makes_the_store_unavailable() {
    let Some(disk) = Disk::mount("1m") else {
        eprintln!("skipped: only root may mount a file system");
        return;
    };
    let keys = tempfile::tempdir().unwrap();
    let documents = Place::of(keys, format!("file://{}", disk.path().display())).open();
    documents.probe().await.unwrap();
    let put = || documents.put(vec![document(1, Kind::Notice, &[b'x'; 100_000])].into());
    let mut filler = fs::File::create(disk.path().join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    filler.set_len(filler.metadata().unwrap().len() - 65_536).unwrap();

    let error = put().await.unwrap_err();
    assert!(error.is_unavailable() && error.is_full(), "{error:?}");
    assert!(documents.probe().await.is_err(), "the probe wrote a file although a document does not fit");
    drop(filler);
    fs::remove_file(disk.path().join("filler")).unwrap();
    documents.probe().await.unwrap();
    put().await.unwrap();
}
