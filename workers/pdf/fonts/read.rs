use std::fs::{self, File};
use std::io::Read as _;

use super::error::FontError;
use super::file::FontFile;

/// The largest fonts in use, collections of Noto, have 27 MB.
const MAX_MEGABYTES: u64 = 256;

pub(super) fn read(file: &FontFile) -> Result<Vec<u8>, FontError> {
    let failed = |source| FontError::Read { path: file.path.clone(), source };
    let problem = |problem: String| FontError::Parse { file: file.clone(), problem };
    let metadata = fs::metadata(&file.path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(problem("it is not a regular file".to_owned()));
    }
    let limit = MAX_MEGABYTES << 20;
    let mut bytes = Vec::new();
    if metadata.len() <= limit {
        // The file may grow while it is read.
        File::open(&file.path).map_err(failed)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if metadata.len().max(bytes.len() as u64) > limit {
        return Err(problem(format!("it is larger than {MAX_MEGABYTES} MB")));
    }
    Ok(bytes)
}
