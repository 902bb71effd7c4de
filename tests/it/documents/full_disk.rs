//! A full disk, with space for small files but not for a document.

use std::{fs, io::Write as _, path::Path, process::Command};

use hosho::documents::store::DocumentStore;

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
    let documents = DocumentStore::open(&format!("file://{}", disk.path().display())).unwrap();
    documents.probe().await.unwrap();
    let document = vec![b'x'; 100_000];
    let mut filler = fs::File::create(disk.path().join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    filler.set_len(filler.metadata().unwrap().len() - 65_536).unwrap();

    let error = documents.put("notice", &document).await.unwrap_err();
    assert!(error.is_unavailable() && error.is_full(), "{error:?}");
    assert!(documents.probe().await.is_err(), "the probe wrote a file although a document does not fit");
    drop(filler);
    fs::remove_file(disk.path().join("filler")).unwrap();
    documents.probe().await.unwrap();
    documents.put("notice", &document).await.unwrap();
}
