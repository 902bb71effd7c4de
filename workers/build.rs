//! Lists the files of `config/obligees/` and `config/branches/` for embedding.
//! Also has the linker compress the debug information.
//!
//! The folder is the list: adding an obligee is adding a file, and nothing else is edited. A macro that reads
//! the folder (`include_dir` and its like) cannot make cargo on stable Rust watch for new files, so the next
//! build would not see it; a build script can.

use std::{env, fmt::Write as _, fs, io, path::Path};

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let mut code = String::new();
    for (constant, folder) in [("OBLIGEES", "config/obligees"), ("BRANCHES", "config/branches")] {
        println!("cargo::rerun-if-changed={folder}");
        let mut files = Vec::new();
        for entry in fs::read_dir(Path::new(&root).join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        files.sort();
        let _ = writeln!(
            code,
            "/// Name and text of every file in `{folder}/`.\npub(crate) const {constant}: &[(&str, &str)] = &["
        );
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Found from the crate being built, so that two checkouts may share a target folder.
            let _ = writeln!(
                code,
                "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{folder}/{name}\"))),"
            );
        }
        code.push_str("];\n");
    }
    // What of the debug information is not in hosho.dwp: line tables and ranges, 31 MB of 75 uncompressed.
    println!("cargo::rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("embedded.rs"), code)
}
